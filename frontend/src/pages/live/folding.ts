/** An alert storm is one toast with a count, never a wall of them. No DOM. */

import { SEVERITIES, type Severity } from "../../services/vocabulary.js";
import type { Alert } from "./alertBook.js";
import { plural } from "./format.js";

export interface ToastText {
  severity: Severity;
  title: string;
  text: string;
}

const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);

/** Alerts since the toast appeared. */
export class Fold {
  readonly #counts = new Map<Severity, number>();
  #total = 0;
  #newest: Alert | null = null;

  get isEmpty(): boolean {
    return this.#total === 0;
  }

  add(alert: Alert): void {
    this.#total += 1;
    this.#counts.set(alert.severity, (this.#counts.get(alert.severity) ?? 0) + 1);
    if (!this.#newest || alert.created_at >= this.#newest.created_at) this.#newest = alert;
  }

  /** What to say; `clientName`: where alerts of several clients come together. */
  describe(clientName: (id: string) => string | undefined): ToastText | null {
    const newest = this.#newest;
    if (!newest) return null;
    const present = SEVERITIES.toReversed().filter((severity) => this.#counts.has(severity));
    const severity = present[0] ?? newest.severity;
    if (this.#total === 1) {
      const where = [newest.app, clientName(newest.client_id)].filter(Boolean).join(" · ");
      return { severity, title: `${capital(severity)} alert${where ? ` – ${where}` : ""}`, text: newest.details };
    }
    const parts = present.map((name) => `${this.#counts.get(name)} ${name}`).join(", ");
    return { severity, title: plural(this.#total, "new alert"), text: `${parts}. Newest: ${newest.details}` };
  }

  clear(): void {
    this.#counts.clear();
    this.#total = 0;
    this.#newest = null;
  }
}
