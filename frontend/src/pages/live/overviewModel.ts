/**
 * What the overview shows of all clients: a snapshot, and the events since.
 *
 * Interactions are counted up as they come, open alerts up and down. Each event asks for another snapshot (`isStale`), which comes once for
 * many events, and by which the page is right in the end.
 */

import type { EventFrame } from "../../services/protocol.js";
import { type Severity, SEVERITIES } from "../../services/vocabulary.js";
import type { Counts } from "./activity.js";
import { type Alert, AlertBook, type BySeverity, noAlerts, sumOf } from "./alertBook.js";

/** A row of the overview's data (`engagement/pages/views.py`). */
export interface ClientRow {
  client_id: string;
  client: string;
  interactions_today: number;
  active_users: number;
  open_alerts: BySeverity;
  last_activity_iso: string | null;
}

export interface Overview {
  /** The server's time before it read the rows. */
  until: string;
  clients: (ClientRow & { recent: Counts })[];
}

export interface OverviewTotals {
  interactions_today: number;
  active_users: number;
  open_alerts: BySeverity;
  open_alerts_total: number;
}

export class OverviewModel {
  readonly alerts: AlertBook;
  isStale = false;
  /** The clients whose rows changed since this was last emptied. */
  readonly changed = new Set<string>();
  readonly #clients = new Map<string, ClientRow>();

  constructor(feedLength: number) {
    this.alerts = new AlertBook(feedLength);
  }

  get clients(): Iterable<ClientRow> {
    return this.#clients.values();
  }

  client(id: string): ClientRow | undefined {
    return this.#clients.get(id);
  }

  load({ clients }: Overview, alerts: readonly Alert[]): void {
    this.#clients.clear();
    for (const { recent: _, ...row } of clients) {
      this.#clients.set(row.client_id, { ...row, open_alerts: { ...row.open_alerts } });
      this.changed.add(row.client_id);
    }
    this.alerts.load(alerts);
    this.isStale = false;
  }

  apply(frame: EventFrame): void {
    this.isStale = true;
    const client = this.#clients.get(frame.client_id);
    if (!client) return; // new to this MSP: the snapshot will tell
    this.changed.add(client.client_id);
    if (frame.type === "interaction_update") {
      client.interactions_today = Math.max(client.interactions_today + frame.data.interaction_count, 0);
      if ((client.last_activity_iso ?? "") < frame.timestamp) client.last_activity_iso = frame.timestamp;
    } else if (frame.type === "alert") {
      for (const { severity, by } of this.alerts.apply(frame)) client.open_alerts[severity] += by;
    }
  }

  totals(): OverviewTotals {
    const open_alerts = noAlerts();
    let interactions_today = 0;
    let active_users = 0;
    for (const client of this.#clients.values()) {
      interactions_today += client.interactions_today;
      active_users += client.active_users;
      for (const severity of SEVERITIES as readonly Severity[]) open_alerts[severity] += client.open_alerts[severity];
    }
    return { interactions_today, active_users, open_alerts, open_alerts_total: sumOf(open_alerts) };
  }
}
