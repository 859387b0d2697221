/**
 * What a client's view shows: figures, the newest alerts, and what happens now.
 *
 * Events of figures hold whole rows as they are, so uses are right to the last one at once. What events do not tell (the people of today,
 * flagged uses, the trends of the whole) comes with the snapshot that follows (`isStale`).
 */

import type { AgentFigures, ApplicationFigures, DepartmentFigures, EngagementData } from "@/services/payloads.js";
import type { EventFrame, FrameOf } from "@/services/protocol.js";
import { type Activity, activityOf, type Counts, withUses } from "./activity.js";
import { type BySeverity, type Feed, feedAfter, feedOf } from "./alerts.js";
import type { Document } from "./document.js";
import type { AlertPage } from "./overview.js";

export interface Day {
  readonly day: string;
  readonly interactions: number;
  readonly active_users: number;
  readonly flagged: number;
}

/** The answer of `clients/<id>/dashboard`. */
export interface Figures {
  readonly client_id: string;
  readonly client: string;
  readonly departments: readonly DepartmentFigures[];
  readonly applications: readonly ApplicationFigures[];
  readonly agents: readonly AgentFigures[];
  readonly productivity: {
    readonly interactions: number;
    readonly interactions_per_active_user: number | null;
    readonly pct_change_vs_prev_7d: number | null;
    readonly series: readonly Day[];
  };
  readonly totals: {
    readonly interactions_today: number;
    readonly active_users_today: number;
    readonly interactions_7d: number;
    readonly flagged_7d: number;
    readonly pct_change_vs_prev_7d: number | null;
    readonly open_alerts: BySeverity;
  };
}

export type FiguresAnswer = Figures & { positions: Record<string, number>; epoch: string };

/** The answer of `clients/<id>/activity/`. */
export interface ActivityData {
  until: string;
  series: { id: string; name: string; counts: Counts }[];
}

export interface Dashboard extends Document {
  readonly clientId: string;
  readonly figures: Figures;
  readonly feed: Feed;
  readonly activity: Activity;
  /** Names of the keys of `activity`. */
  readonly names: Readonly<Record<string, string>>;
}

/** `alerts` must have been read first: their positions are older than the others'. */
export function dashboardOf(alerts: AlertPage, answer: FiguresAnswer, activity: ActivityData): Dashboard {
  const { positions, epoch, ...figures } = answer;
  const named = [
    ...activity.series.map(({ id, name }) => [id, name] as const),
    ...figures.applications.map(({ app_id, application }) => [app_id, application] as const),
    ...figures.agents.map(({ agent_id, agent }) => [agent_id, agent] as const),
  ];
  return {
    positions: { ...positions, ...alerts.positions },
    epoch,
    isStale: false,
    clientId: figures.client_id,
    figures,
    feed: feedOf(alerts.results),
    activity: activityOf(activity.until, activity.series.map(({ id, counts }) => [id, counts] as const)),
    names: Object.fromEntries(named),
  };
}

export function applyToDashboard(dashboard: Dashboard, all: readonly EventFrame[]): Dashboard {
  const frames = all.filter(({ client_id }) => client_id === dashboard.clientId);
  if (frames.length === 0) return dashboard;
  const { feed, deltas, isStale } = feedAfter(dashboard.feed, frames.filter((frame) => frame.type === "alert"));
  const uses = frames.filter((frame): frame is FrameOf<"interaction_update"> => frame.type === "interaction_update");
  const updates = frames.filter((frame): frame is FrameOf<"engagement_update"> => frame.type === "engagement_update");
  let figures = updates.reduce((before, { data }) => withRows(before, data), dashboard.figures);
  if (updates.length) figures = addedUp(figures);
  if (deltas.length) {
    const open: Record<string, number> = { ...figures.totals.open_alerts };
    for (const { severity, by } of deltas) open[severity] = (open[severity] ?? 0) + by;
    figures = { ...figures, totals: { ...figures.totals, open_alerts: open as BySeverity } };
  }
  const keyed = uses.flatMap(({ timestamp, data }) => {
    const key = data.app_id ?? data.agent_id;
    return key ? [{ key, name: data.app ?? data.agent, atMs: Date.parse(timestamp), uses: data.interaction_count }] : [];
  });
  const isNamed = keyed.every(({ key }) => key in dashboard.names);
  return {
    ...dashboard,
    figures,
    feed,
    activity: withUses(dashboard.activity, keyed),
    names: isNamed ? dashboard.names : { ...dashboard.names, ...Object.fromEntries(keyed.map(({ key, name }) => [key, name ?? "Unknown"])) },
    // A count may hold an alert already that comes as an event after the snapshot's position: the next snapshot says it right.
    isStale: dashboard.isStale || isStale || deltas.length > 0 || updates.length > 0 || uses.length > 0,
  };
}

function withRows(figures: Figures, { departments, applications, agents }: EngagementData): Figures {
  return {
    ...figures,
    departments: merged(figures.departments, departments, "department_id", "department"),
    applications: merged(figures.applications, applications, "app_id", "application"),
    agents: merged(figures.agents, agents, "agent_id", "agent"),
  };
}

/** Rows are found by id, or by name where a broadcast names no id; one that is new and not whole is left to the next snapshot. */
function merged<R extends object>(rows: readonly R[], changes: readonly Partial<R>[] | undefined, id: keyof R, name: keyof R): readonly R[] {
  if (!changes?.length) return rows;
  const result = [...rows];
  for (const change of changes) {
    const place = result.findIndex((row) => (change[id] === undefined ? row[name] === change[name] : row[id] === change[id]));
    if (place >= 0) result[place] = { ...result[place]!, ...change };
    else if (change[id] !== undefined && change[name] !== undefined && Object.keys(change).length >= Object.keys(rows[0] ?? {}).length) {
      result.push(change as R);
      result.sort((a, b) => (String(a[name]) < String(b[name]) ? -1 : 1));
    }
  }
  return result;
}

/** Days in a window: uses per day, times this, are the uses of the window. */
const WINDOW = 7;

/** Every use is of one application or one agent, so the whole is their sum; of the window's days, only today changes. */
function addedUp(figures: Figures): Figures {
  const { applications, agents, productivity, totals } = figures;
  const today = productivity.series.at(-1);
  if (!today) return figures;
  const perDay = [...applications.map((row) => row.interactions_per_day), ...agents.map((row) => row.avg_prompts_per_day)];
  const interactions = perDay.reduce((sum, uses) => sum + Math.round(uses * WINDOW), 0);
  const before = productivity.series.slice(0, -1).reduce((sum, day) => sum + day.interactions, 0);
  const interactionsToday = Math.max(interactions - before, 0);
  return {
    ...figures,
    productivity: {
      ...productivity,
      interactions,
      series: [...productivity.series.slice(0, -1), { ...today, interactions: interactionsToday }],
    },
    totals: { ...totals, interactions_7d: interactions, interactions_today: interactionsToday },
  };
}
