/**
 * What an MSP's overview shows: its clients, the newest alerts, and what happens now.
 *
 * Uses and open alerts are counted on from the snapshot. Active people cannot be counted so (a person comes twice), and a correction
 * of older days looks like a use of today, so each use makes the document stale: a snapshot follows and sets all numbers right.
 */

import type { EventFrame, FrameOf } from "@/services/protocol.js";
import { SEVERITIES } from "@/services/vocabulary.js";
import { type Activity, activityOf, type Counts, withUses } from "./activity.js";
import { type Alert, type BySeverity, type Feed, feedAfter, feedOf, noAlerts } from "./alerts.js";
import type { Document } from "./document.js";

export interface ClientRow {
  readonly client_id: string;
  readonly client: string;
  readonly industry: string;
  readonly status: string;
  readonly interactions_today: number;
  readonly active_users: number;
  readonly open_alerts: BySeverity;
  readonly last_activity_iso: string | null;
}

/** The answer of `overview/data/` (`engagement/pages/views.py`). */
export interface OverviewData {
  /** The server's time before it read the rows. */
  until: string;
  clients: (ClientRow & { recent: Counts })[];
}

export interface Overview extends Document {
  /** By name, as the server orders them. */
  readonly clients: readonly ClientRow[];
  readonly feed: Feed;
  readonly activity: Activity;
}

export interface AlertPage {
  count: number;
  next: string | null;
  results: Alert[];
  positions: Record<string, number>;
  epoch: string;
}

/** `alerts` must have been read first: their positions are older than both. */
export function overviewOf(alerts: AlertPage, { until, clients }: OverviewData): Overview {
  return {
    positions: alerts.positions,
    epoch: alerts.epoch,
    isStale: false,
    clients: clients.map(({ recent: _, ...row }) => row),
    feed: feedOf(alerts.results),
    activity: activityOf(until, clients.map(({ client_id, recent }) => [client_id, recent] as const)),
  };
}

export function applyToOverview(overview: Overview, frames: readonly EventFrame[]): Overview {
  const uses = frames.filter((frame): frame is FrameOf<"interaction_update"> => frame.type === "interaction_update");
  const { feed, deltas, isStale } = feedAfter(overview.feed, frames.filter((frame) => frame.type === "alert"));
  const rows = new Map(overview.clients.map((row) => [row.client_id, row]));
  for (const { client_id: id, timestamp, data } of uses) {
    const row = rows.get(id);
    if (row) rows.set(id, afterUse(row, data.interaction_count, timestamp));
  }
  for (const { client_id: id, severity, by } of deltas) {
    const row = rows.get(id);
    if (row) rows.set(id, { ...row, open_alerts: { ...row.open_alerts, [severity]: row.open_alerts[severity] + by } });
  }
  return {
    ...overview,
    clients: [...rows.values()],
    feed,
    activity: withUses(
      overview.activity,
      uses.map(({ client_id: key, timestamp, data }) => ({ key, atMs: Date.parse(timestamp), uses: data.interaction_count })),
    ),
    // A count may hold an alert already that comes as an event after the snapshot's position: the next snapshot says it right.
    isStale:
      overview.isStale || isStale || deltas.length > 0 || frames.some(({ type, client_id: id }) => type !== "alert" || !rows.has(id)),
  };
}

function afterUse(row: ClientRow, uses: number, timestamp: string): ClientRow {
  const isLater = (row.last_activity_iso ?? "") < timestamp;
  return {
    ...row,
    interactions_today: Math.max(row.interactions_today + uses, 0),
    last_activity_iso: uses > 0 && isLater ? timestamp : row.last_activity_iso,
  };
}

export interface Totals {
  interactions_today: number;
  active_users: number;
  open_alerts: BySeverity;
}

/** The clients' figures together. */
export function totalsOf(clients: readonly ClientRow[]): Totals {
  const open_alerts = noAlerts();
  for (const row of clients) for (const severity of SEVERITIES) open_alerts[severity] += row.open_alerts[severity];
  return {
    interactions_today: clients.reduce((sum, row) => sum + row.interactions_today, 0),
    active_users: clients.reduce((sum, row) => sum + row.active_users, 0),
    open_alerts,
  };
}
