/** The alert centre: the alerts that a filter finds, newest first, as far down as they were loaded. */

import type { EventFrame } from "@/services/protocol.js";
import { SEVERITIES, type Severity } from "@/services/vocabulary.js";
import { type Alert, alertOf, isDeleted, isOpen, isRaised, isSaved, newestFirst, withAlert, withoutAlert } from "./alerts.js";
import type { Document } from "./document.js";
import type { AlertPage } from "./overview.js";

/** In a storm, what is beyond so many (or beyond what was loaded) goes from the end; scrolling there loads it again. */
const KEPT = 2000;

export interface Filter {
  readonly search: string;
  /** None: any. */
  readonly severities: readonly Severity[];
  readonly status: "open" | "any" | "Unassigned" | "Pending" | "Complete" | "AI Resolved";
  readonly client: string;
  /** A username. */
  readonly assignee: string;
}

const STATUSES = ["open", "any", "Unassigned", "Pending", "Complete", "AI Resolved"] as const;
export const NO_FILTER: Filter = { search: "", severities: [], status: "open", client: "", assignee: "" };

/** The filter that an address names; what it names wrongly is left out. */
export function filterOf(query: URLSearchParams): Filter {
  return {
    search: query.get("q") ?? "",
    severities: SEVERITIES.filter((severity) => query.getAll("severity").includes(severity)),
    status: STATUSES.find((status) => status === query.get("status")) ?? "open",
    client: query.get("client") ?? "",
    assignee: query.get("assignee") ?? "",
  };
}

/** The address of a filter: what differs from none. */
export function queryOf({ search, severities, status, client, assignee }: Filter): URLSearchParams {
  const query = new URLSearchParams();
  if (search) query.set("q", search);
  for (const severity of severities) query.append("severity", severity);
  if (status !== "open") query.set("status", status);
  if (client) query.set("client", client);
  if (assignee) query.set("assignee", assignee);
  return query;
}

/** The same question to REST. */
export function restQuery({ search, severities, status, client, assignee }: Filter): URLSearchParams {
  const query = new URLSearchParams();
  if (search.trim()) query.set("search", search.trim());
  for (const severity of severities) query.append("severity", severity);
  if (status === "open") query.set("open", "true");
  else if (status !== "any") query.set("status", status);
  if (client) query.set("client", client);
  if (assignee) query.set("assignee", assignee);
  return query;
}

/** Say whether the server would find the alert. */
export function matches(alert: Alert, { search, severities, status, client, assignee }: Filter): boolean {
  if (severities.length > 0 && !severities.includes(alert.severity)) return false;
  if (status === "open" ? !isOpen(alert) : status !== "any" && alert.status !== status) return false;
  if (client && alert.client_id !== client) return false;
  if (assignee && alert.assignee !== assignee) return false;
  const fields = [alert.details, alert.family, alert.subtype, alert.app ?? ""].map((field) => field.toLowerCase());
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => fields.some((field) => field.includes(word)));
}

export interface Centre extends Document {
  readonly filter: Filter;
  /** Newest first, without gaps from the newest to the last one loaded. */
  readonly alerts: readonly Alert[];
  /** How many the filter finds, loaded or not. */
  readonly found: number;
  readonly hasMore: boolean;
  /** How many were loaded from the server. */
  readonly loaded: number;
}

export const centreOf = (filter: Filter, { count, next, results, positions, epoch }: AlertPage): Centre => ({
  positions,
  epoch,
  isStale: false,
  filter,
  alerts: results,
  found: count,
  hasMore: next !== null,
  loaded: results.length,
});

/** Return a newer snapshot of the first page with what `before` holds beyond it: events kept that right. */
export function refreshed(before: Centre, first: Centre): Centre {
  const last = first.alerts.at(-1);
  if (!last || !first.hasMore) return first;
  const ids = new Set(first.alerts.map(({ id }) => id));
  const older = before.alerts.filter((alert) => newestFirst(last, alert) < 0 && !ids.has(alert.id));
  if (older.length === 0) return first;
  const alerts = [...first.alerts, ...older];
  return { ...first, alerts, loaded: alerts.length, hasMore: before.hasMore };
}

/** Return the centre with older alerts; those it holds already stay as they are, being newer. */
export function withOlder(centre: Centre, { next, results }: Pick<AlertPage, "next" | "results">): Centre {
  const held = new Set(centre.alerts.map(({ id }) => id));
  const older = results.filter(({ id }) => !held.has(id));
  return {
    ...centre,
    alerts: [...centre.alerts, ...older].sort(newestFirst),
    loaded: centre.loaded + older.length,
    hasMore: next !== null,
  };
}

export function applyToCentre(centre: Centre, frames: readonly EventFrame[]): Centre {
  let next = centre;
  for (const frame of frames) {
    if (frame.type !== "alert") continue;
    const alert = alertOf(frame);
    if (isSaved(alert.id)) next = after(next, alert, isRaised(frame), !isDeleted(frame) && matches(alert, next.filter));
  }
  if (next.alerts.length <= Math.max(KEPT, next.loaded)) return next;
  return { ...next, alerts: next.alerts.slice(0, Math.max(KEPT, next.loaded)), hasMore: true };
}

/** Return the centre after one change. Of an alert it does not hold, it cannot tell whether the filter found it before. */
function after(centre: Centre, alert: Alert, isNew: boolean, isFound: boolean): Centre {
  const isHeld = centre.alerts.some(({ id }) => id === alert.id);
  if (isHeld && !isFound) return { ...centre, alerts: withoutAlert(centre.alerts, alert.id), found: centre.found - 1 };
  if (!isHeld && !isNew && centre.hasMore) return { ...centre, isStale: true };
  if (!isHeld && !isFound) return centre;
  return { ...centre, alerts: withAlert(centre.alerts, alert, true), found: centre.found + (isHeld ? 0 : 1) };
}
