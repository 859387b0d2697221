/** Toasts: one for new alerts, and one for what went wrong. They are said politely, wait for a pointer, and go by themselves. */

import type { Alert } from "./alertBook.js";
import { element } from "./dom.js";
import { Fold } from "./folding.js";

const STAYS_MS = 8000;
/** In a storm, the words change at most so often. */
const REWRITE_MS = 1000;

class Toast {
  #root: HTMLElement | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #gone: () => void;

  constructor(gone: () => void = () => undefined) {
    this.#gone = gone;
  }

  show(severity: string, title: string, text: string): void {
    const root = (this.#root ??= this.#make());
    root.dataset["severity"] = severity;
    root.querySelector(".toast-title")!.textContent = title;
    root.querySelector(".toast-text")!.textContent = text;
    this.#leaveLater();
  }

  readonly #hide = (): void => {
    clearTimeout(this.#timer);
    this.#root?.remove();
    this.#root = null;
    this.#gone();
  };

  #leaveLater(): void {
    clearTimeout(this.#timer);
    if (!this.#root?.matches(":hover, :focus-within")) this.#timer = setTimeout(this.#hide, STAYS_MS);
  }

  #make(): HTMLElement {
    const root = document.createElement("div");
    root.className = "toast";
    const body = document.createElement("div");
    body.className = "toast-body";
    for (const name of ["toast-title", "toast-text"]) {
      const line = document.createElement("p");
      line.className = name;
      body.append(line);
    }
    const close = document.createElement("button");
    close.type = "button";
    close.className = "icon-button";
    close.textContent = "×";
    close.setAttribute("aria-label", "Dismiss");
    close.addEventListener("click", this.#hide);
    root.append(body, close);
    root.addEventListener("pointerenter", () => clearTimeout(this.#timer));
    root.addEventListener("pointerleave", () => this.#leaveLater());
    root.addEventListener("focusout", () => this.#leaveLater());
    element("toasts").append(root);
    return root;
  }
}

/** Tells of new alerts. */
export class AlertToast {
  readonly #fold = new Fold();
  readonly #toast = new Toast(() => this.#fold.clear());
  readonly #clientName: (id: string) => string | undefined;
  #writtenAt = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(clientName: (id: string) => string | undefined) {
    this.#clientName = clientName;
  }

  add(alert: Alert): void {
    this.#fold.add(alert);
    this.#timer ??= setTimeout(() => this.#write(), Math.max(this.#writtenAt + REWRITE_MS - performance.now(), 0));
  }

  #write(): void {
    this.#timer = undefined;
    this.#writtenAt = performance.now();
    const said = this.#fold.describe(this.#clientName);
    if (said) this.#toast.show(said.severity, said.title, said.text);
  }
}

const failure = new Toast();

/** Tell that something was not done, and why. */
export const tellFailure = (title: string, why: string): void => failure.show("error", title, why);
