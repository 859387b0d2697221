/**
 * What a client's dashboard shows: a snapshot, and the events since.
 *
 * Events carry absolute figures (a row as it is now), so applying one again changes nothing. Some things they do not carry: the people of
 * today, flagged uses, the trends of the whole, whether a count that was read a moment ago holds an alert already. So each event asks
 * for another snapshot (`isStale`), which comes once for many events, and by which the page is right in the end, whatever happened.
 */

import type { AgentFigures, ApplicationFigures, DepartmentFigures } from "../../services/payloads.js";
import type { EventFrame } from "../../services/protocol.js";
import { type Alert, AlertBook, type BySeverity, noAlerts } from "./alertBook.js";

export interface Day {
  day: string;
  interactions: number;
  active_users: number;
  flagged: number;
}

export interface Totals {
  interactions_today: number;
  active_users_today: number;
  interactions_7d: number;
  flagged_7d: number;
  pct_change_vs_prev_7d: number | null;
  open_alerts: BySeverity;
}

/** The answer of `clients/<id>/dashboard`. */
export interface Dashboard {
  departments: DepartmentFigures[];
  applications: (ApplicationFigures & { status: string })[];
  agents: AgentFigures[];
  productivity: {
    interactions: number;
    interactions_per_active_user: number | null;
    pct_change_vs_prev_7d: number | null;
    series: Day[];
  };
  totals: Totals;
}

export const TABLES = {
  departments: { id: "department_id", name: "department" },
  applications: { id: "app_id", name: "application" },
  agents: { id: "agent_id", name: "agent" },
} as const;
export type Table = keyof typeof TABLES;
export const TABLE_NAMES = Object.keys(TABLES) as Table[];

export type Row = Record<string, unknown>;

/** Days in a window: figures a day times this are the figures of the window. */
const WINDOW = 7;

const EMPTY: Dashboard = {
  departments: [],
  applications: [],
  agents: [],
  productivity: { interactions: 0, interactions_per_active_user: null, pct_change_vs_prev_7d: null, series: [] },
  totals: {
    interactions_today: 0,
    active_users_today: 0,
    interactions_7d: 0,
    flagged_7d: 0,
    pct_change_vs_prev_7d: null,
    open_alerts: noAlerts(),
  },
};

export class ClientModel {
  readonly alerts: AlertBook;
  /** Something happened since the snapshot: fetch another one, soon. */
  isStale = false;
  #dashboard: Dashboard = EMPTY;

  constructor(feedLength: number) {
    this.alerts = new AlertBook(feedLength);
  }

  get dashboard(): Readonly<Dashboard> {
    return this.#dashboard;
  }

  load(dashboard: Dashboard, alerts: readonly Alert[]): void {
    this.#dashboard = structuredClone(dashboard);
    this.alerts.load(alerts);
    this.isStale = false;
  }

  apply(frame: EventFrame): void {
    this.isStale = true;
    if (frame.type === "alert") {
      for (const { severity, by } of this.alerts.apply(frame)) this.#dashboard.totals.open_alerts[severity] += by;
    } else if (frame.type === "engagement_update") {
      for (const table of TABLE_NAMES) for (const row of frame.data[table] ?? []) this.#merge(table, row);
      this.#addUp();
    }
  }

  rows(table: Table): Row[] {
    return this.#dashboard[table] as unknown as Row[];
  }

  /** Rows are found by id, and by name where a broadcast names no id; one that is not found and not whole is left to the next fetch. */
  #merge(table: Table, row: Row): void {
    const { id, name } = TABLES[table];
    const rows = this.rows(table);
    const known = rows.find((other) => (row[id] === undefined ? other[name] === row[name] : other[id] === row[id]));
    if (known) Object.assign(known, row);
    else if (row[id] !== undefined && row[name] !== undefined) {
      rows.push({ ...row });
      rows.sort((a, b) => (String(a[name]) < String(b[name]) ? -1 : 1));
    }
  }

  /** Every use is of one application or one agent, so the whole is the sum of these; of the window's days only today's changes. */
  #addUp(): void {
    const { applications, agents, productivity, totals } = this.#dashboard;
    const today = productivity.series.at(-1);
    const perDay = [...applications.map((row) => row.interactions_per_day), ...agents.map((row) => row.avg_prompts_per_day)];
    if (!today || !perDay.every(Number.isFinite)) return;
    const interactions = perDay.reduce((sum, uses) => sum + Math.round(uses * WINDOW), 0);
    const before = productivity.series.slice(0, -1).reduce((sum, day) => sum + day.interactions, 0);
    totals.interactions_7d = productivity.interactions = interactions;
    totals.interactions_today = today.interactions = Math.max(interactions - before, 0);
  }
}
