/** Alerts as a page knows them: the newest ones, and how many are open by severity. No DOM. */

import type { FrameOf } from "../../services/protocol.js";
import { SEVERITIES, type Severity } from "../../services/vocabulary.js";

/** An alert as REST and socket write it (`engagement/payloads.py`). */
export interface Alert {
  id: string;
  client_id: string;
  severity: Severity;
  details: string;
  app: string | null;
  family: string;
  status: string;
  assignee: string | null;
  acknowledged_by: string | null;
  created_at: string;
}

export type BySeverity = Record<Severity, number>;

const RESOLVED = new Set(["Complete", "AI Resolved"]);

export const isOpen = (alert: Pick<Alert, "status">): boolean => !RESOLVED.has(alert.status);

export const sumOf = (counts: BySeverity): number => SEVERITIES.reduce((sum, severity) => sum + counts[severity], 0);

export const noAlerts = (): BySeverity => ({ low: 0, medium: 0, high: 0, critical: 0 });

/** Return the alert of an event. One that was broadcast and never saved gets its place in the stream as its id. */
export function alertOf({ client_id, stream, seq, timestamp, data }: FrameOf<"alert">): Alert {
  return {
    id: data.id ?? `${stream}:${seq}`,
    client_id,
    severity: data.severity ?? "medium",
    details: data.details ?? "",
    app: data.app ?? null,
    family: data.family ?? "",
    status: data.status ?? "Unassigned",
    assignee: data.assignee ?? null,
    acknowledged_by: data.acknowledged_by ?? null,
    created_at: data.created_at ?? timestamp,
  };
}

export const isSaved = (frame: FrameOf<"alert">): boolean => frame.data.id !== undefined;

/** An alert that was raised, as opposed to one that was changed or deleted. */
export const isNew = ({ data }: FrameOf<"alert">): boolean => data.change === undefined || data.change === "created";

const newestFirst = (a: Alert, b: Alert): number =>
  b.created_at < a.created_at ? -1 : b.created_at > a.created_at ? 1 : b.id < a.id ? -1 : 1;

/** How the number of open alerts of one client changes. */
export interface Delta {
  client_id: string;
  severity: Severity;
  by: number;
}

/** The newest alerts, kept in order, at most `limit` of them; it remembers of every alert it met whether it is open. */
export class AlertBook {
  readonly #limit: number;
  #newest: Alert[] = [];
  #met = new Map<string, Pick<Alert, "severity" | "status">>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get newest(): readonly Alert[] {
    return this.#newest;
  }

  get(id: string): Alert | undefined {
    return this.#newest.find((alert) => alert.id === id);
  }

  load(alerts: readonly Alert[]): void {
    this.#newest = [...alerts].sort(newestFirst).slice(0, this.#limit);
    this.#met = new Map(alerts.map(({ id, severity, status }) => [id, { severity, status }]));
  }

  /** Take in an event; return what it does to the numbers of open alerts: nothing where this book never met the alert that changed. */
  apply(frame: FrameOf<"alert">): Delta[] {
    const alert = alertOf(frame);
    const isDeleted = frame.data.change === "deleted";
    if (isDeleted) this.#newest = this.#newest.filter(({ id }) => id !== alert.id);
    else this.put(alert, isNew(frame));
    if (!isSaved(frame)) return [];
    const before = this.#met.get(alert.id);
    this.#met.set(alert.id, isDeleted ? { severity: alert.severity, status: "Complete" } : alert);
    if (!before && !isNew(frame)) return [];
    const deltas: Delta[] = [];
    if (before && isOpen(before)) deltas.push({ client_id: alert.client_id, severity: before.severity, by: -1 });
    if (!isDeleted && isOpen(alert)) deltas.push({ client_id: alert.client_id, severity: alert.severity, by: 1 });
    return deltas;
  }

  /** Replace the alert, or (if it `isAllowedIn`) put it where it belongs. */
  put(alert: Alert, isAllowedIn: boolean): void {
    const place = this.#newest.findIndex(({ id }) => id === alert.id);
    if (place >= 0) this.#newest[place] = alert;
    else if (isAllowedIn) {
      const after = this.#newest.findIndex((other) => newestFirst(alert, other) < 0);
      this.#newest.splice(after < 0 ? this.#newest.length : after, 0, alert);
      this.#newest.length = Math.min(this.#newest.length, this.#limit);
    }
  }
}
