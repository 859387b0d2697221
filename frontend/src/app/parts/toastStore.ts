/** One toast for new alerts, however many there are, and one for what went wrong. Stores; `Toasts.tsx` shows them. */

import { Fold, type ToastText } from "@/pages/live/folding.js";
import type { Alert } from "../state/alerts.js";

const STAYS_MS = 8000;
/** In a storm, the words change at most so often. */
const REWRITE_MS = 1000;

export class ToastStore {
  #value: ToastText | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #gone: () => void;

  constructor(gone: () => void = () => undefined) {
    this.#gone = gone;
  }

  getSnapshot = (): ToastText | null => this.#value;

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  show(value: ToastText): void {
    this.#set(value);
    this.release();
  }

  /** Somebody reads it: it stays. */
  hold = (): void => clearTimeout(this.#timer);

  /** It goes by itself, in a while. */
  release = (): void => {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.hide, STAYS_MS);
  };

  hide = (): void => {
    clearTimeout(this.#timer);
    this.#gone();
    this.#set(null);
  };

  #set(value: ToastText | null): void {
    this.#value = value;
    for (const listener of [...this.#listeners]) listener();
  }
}

/** Folds new alerts into one toast, which counts them until it goes. */
export class AlertToast extends ToastStore {
  readonly #fold: Fold;
  #writtenAt = -Infinity;
  #writing: ReturnType<typeof setTimeout> | undefined;
  /** Names clients, where alerts of several come together. */
  clientName: (id: string) => string | undefined = () => undefined;

  constructor() {
    const fold = new Fold();
    super(() => fold.clear());
    this.#fold = fold;
  }

  add(alert: Alert): void {
    this.#fold.add(alert);
    this.#writing ??= setTimeout(() => this.#write(), Math.max(this.#writtenAt + REWRITE_MS - performance.now(), 0));
  }

  #write(): void {
    this.#writing = undefined;
    this.#writtenAt = performance.now();
    const text = this.#fold.describe((id) => this.clientName(id));
    if (text) this.show(text);
  }
}

export const alertToast = new AlertToast();
export const failureToast = new ToastStore();

export const tellFailure = (title: string, error: Error): void =>
  failureToast.show({ severity: "critical", title, text: error.message });
