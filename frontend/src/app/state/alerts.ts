/** Alerts as the dashboard knows them: what an event does to a list of them, and to the number of open ones. */

import type { FrameOf } from "@/services/protocol.js";
import { SEVERITIES, type Severity } from "@/services/vocabulary.js";

export type Status = "Unassigned" | "Pending" | "Complete" | "AI Resolved";

/** An alert as REST and socket write it (`engagement/payloads.py`). */
export interface Alert {
  id: string;
  client_id: string;
  severity: Severity;
  details: string;
  app: string | null;
  asset_kind: string;
  family: string;
  subtype: string;
  users_affected: number;
  count: number;
  frameworks: string[];
  status: Status;
  assignee: string | null;
  acknowledged_by: string | null;
  acknowledged_at: string | null;
  created_at: string;
  updated_at: string;
}

export type BySeverity = Readonly<Record<Severity, number>>;

export const noAlerts = (): Record<Severity, number> => ({ low: 0, medium: 0, high: 0, critical: 0 });
export const sumOf = (counts: BySeverity): number => SEVERITIES.reduce((sum, severity) => sum + counts[severity], 0);

export const isOpen = ({ status }: Pick<Alert, "status">): boolean => status === "Unassigned" || status === "Pending";

export type AlertFrame = FrameOf<"alert">;

/** Raised, as opposed to changed or deleted. */
export const isRaised = ({ data }: AlertFrame): boolean => data.change === undefined || data.change === "created";
export const isDeleted = ({ data }: AlertFrame): boolean => data.change === "deleted";
/** Kept in the database, as opposed to broadcast only: it can be acted upon, and it counts. */
export const isSaved = (id: string): boolean => !id.includes(":");

/** The alert of an event. One that was broadcast and never saved is known by its place in the stream. */
export function alertOf({ client_id, stream, seq, timestamp, data }: AlertFrame): Alert {
  const createdAt = data.created_at ?? timestamp;
  return {
    id: data.id ?? `${stream}:${seq}`,
    client_id,
    severity: data.severity ?? "medium",
    details: data.details ?? "",
    app: data.app ?? null,
    asset_kind: data.asset_kind ?? "application",
    family: data.family ?? "",
    subtype: data.subtype ?? "",
    users_affected: data.users_affected ?? 0,
    count: data.count ?? 1,
    frameworks: data.frameworks ?? [],
    status: data.status ?? "Unassigned",
    assignee: data.assignee ?? null,
    acknowledged_by: data.acknowledged_by ?? null,
    acknowledged_at: data.acknowledged_at ?? null,
    created_at: createdAt,
    updated_at: data.updated_at ?? createdAt,
  };
}

/** Newest first; equal times by id, as the API orders them. Times are ISO 8601 in UTC, with or without a fraction. */
export function newestFirst(a: Alert, b: Alert): number {
  const [left, right] = [a.created_at.replace("Z", ""), b.created_at.replace("Z", "")];
  if (left !== right) return left < right ? 1 : -1;
  return a.id === b.id ? 0 : a.id < b.id ? 1 : -1;
}

/** Return `alerts` (newest first) with `alert` replaced or, if it `isWelcome`, put in its place. */
export function withAlert(alerts: readonly Alert[], alert: Alert, isWelcome: boolean): readonly Alert[] {
  const place = alerts.findIndex(({ id }) => id === alert.id);
  if (place >= 0) return alerts.with(place, alert);
  if (!isWelcome) return alerts;
  const next = alerts.findIndex((other) => newestFirst(alert, other) < 0);
  return alerts.toSpliced(next < 0 ? alerts.length : next, 0, alert);
}

export const withoutAlert = (alerts: readonly Alert[], id: string): readonly Alert[] =>
  alerts.some((alert) => alert.id === id) ? alerts.filter((alert) => alert.id !== id) : alerts;

// --- The newest alerts, and how many are open

/** Alerts in a feed. */
export const FEED_LENGTH = 40;
/** Of so many alerts, the last that were met, it is known whether they count as open. */
const REMEMBERED = 500;

type Known = Pick<Alert, "client_id" | "severity" | "status">;

export interface Feed {
  /** At most `FEED_LENGTH`, newest first. */
  readonly newest: readonly Alert[];
  readonly known: ReadonlyMap<string, Known>;
}

export const feedOf = (alerts: readonly Alert[]): Feed => ({
  newest: alerts.slice(0, FEED_LENGTH),
  known: new Map(alerts.map((alert) => [alert.id, alert])),
});

/** A change of a client's number of open alerts. */
export interface Delta {
  client_id: string;
  severity: Severity;
  by: 1 | -1;
}

/** Return the feed after `frames`, and what they do to the numbers; `isStale` where a change of an unknown alert leaves that open. */
export function feedAfter(feed: Feed, frames: readonly AlertFrame[]): { feed: Feed; deltas: Delta[]; isStale: boolean } {
  if (frames.length === 0) return { feed, deltas: [], isStale: false };
  let { newest } = feed;
  const known = new Map(feed.known);
  const deltas: Delta[] = [];
  let isStale = false;
  for (const frame of frames) {
    const alert = alertOf(frame);
    newest = isDeleted(frame) ? withoutAlert(newest, alert.id) : withAlert(newest, alert, isRaised(frame)).slice(0, FEED_LENGTH);
    if (!isSaved(alert.id)) continue;
    const before = known.get(alert.id);
    known.delete(alert.id); // so that it is put at the end: the oldest are forgotten first
    known.set(alert.id, isDeleted(frame) ? { ...alert, status: "Complete" } : alert);
    if (!before && !isRaised(frame)) isStale = true;
    else {
      if (before && isOpen(before)) deltas.push({ client_id: before.client_id, severity: before.severity, by: -1 });
      if (!isDeleted(frame) && isOpen(alert)) deltas.push({ client_id: alert.client_id, severity: alert.severity, by: 1 });
    }
  }
  for (const id of known.keys()) {
    if (known.size <= REMEMBERED) break;
    known.delete(id);
  }
  return { feed: { newest, known }, deltas, isStale };
}
