/** A client's dashboard, live. */

import type { EventFrame } from "../services/protocol.js";
import { Activity, type Counts } from "./live/activity.js";
import { type Alert, sumOf } from "./live/alertBook.js";
import { LiveChart } from "./live/chart.js";
import { ClientModel, type Dashboard, TABLE_NAMES, TABLES, type Table } from "./live/clientModel.js";
import { arrange, cloneOf, element, flash } from "./live/dom.js";
import { Feed } from "./live/feed.js";
import { fillFields, writeChange, writeSeverities, writeTotal } from "./live/figures.js";
import { count, decimal, share } from "./live/format.js";
import { perFrame } from "./live/frames.js";
import { goLive, pageData } from "./live/page.js";
import { writeWatchers } from "./live/presence.js";
import { API, cursorOf, get, type Positioned, RestError } from "./live/rest.js";
import { serverNow } from "./live/serverClock.js";

const FEED = 30;
const RETRY_MS = 5000;
const clientId = pageData("clientId");
const model = new ClientModel(FEED);
const activity = new Activity();
const names = new Map<string, string>();
const chart = new LiveChart(activity, (key) => names.get(key) ?? "Unknown");
const feed = new Feed({ clientName: () => undefined, clientUrl: () => undefined, username: pageData("username") });

async function fetchSnapshot() {
  // The dashboard first: its positions are from before its data, and from before the alerts.
  const dashboard = await get<Positioned<Dashboard>>(`${API}/clients/${clientId}/dashboard`);
  const { results } = await get<{ results: Alert[] }>(`${API}/alerts/?client=${clientId}&page_size=${FEED}`);
  return { cursor: cursorOf(dashboard), commit: () => model.load(dashboard, results) };
}

async function fetchActivity(): Promise<void> {
  activity.expect();
  const { until, series } = await get<{ until: string; series: { id: string; name: string; counts: Counts }[] }>(
    pageData("activityUrl"),
  );
  for (const { id, name } of series) names.set(id, name);
  activity.load(until, series.map(({ id, counts }) => [id, counts] as const));
  renderActivity();
}

function heard(frame: EventFrame): void {
  if (frame.type !== "interaction_update") return;
  const { app_id, agent_id, app, agent, interaction_count } = frame.data;
  const key = app_id ?? agent_id ?? "";
  if (!names.has(key)) names.set(key, app ?? agent ?? "Unknown");
  activity.add(key, Date.parse(frame.timestamp), interaction_count);
  renderActivity();
}

const render = perFrame(() => {
  for (const table of TABLE_NAMES) renderTable(table);
  renderTotals();
  feed.render(model.alerts.newest);
});

const renderActivity = perFrame(() => {
  chart.render();
  writeTotal("rate", count(activity.sum(serverNow(), 60)));
});

function renderTable(table: Table): void {
  const root = element(table);
  const card = root.parentElement!;
  const { id, name } = TABLES[table];
  arrange(
    root.querySelector("tbody")!,
    "row",
    model.rows(table),
    (row) => String(row[id]),
    () => cloneOf(card.querySelector("template")!),
    (target, row) => fillFields(target, row, String(row[name])),
  );
  card.querySelector<HTMLElement>(".empty")!.hidden = model.rows(table).length > 0;
}

function renderTotals(): void {
  const { totals, productivity } = model.dashboard;
  writeTotal("interactions_today", count(totals.interactions_today));
  writeTotal("active_users_today", count(totals.active_users_today));
  writeTotal("interactions_7d", count(totals.interactions_7d));
  writeTotal("flagged_7d", count(totals.flagged_7d));
  writeTotal("flagged_share", share(totals.flagged_7d, totals.interactions_7d));
  const perPerson = productivity.interactions_per_active_user;
  writeTotal("interactions_per_active_user", perPerson === null ? "–" : decimal(perPerson));
  writeTotal("open_alerts_total", count(sumOf(totals.open_alerts)));
  writeSeverities(element("total-severities"), totals.open_alerts);
  writeChange(document.querySelector(".tiles [data-field=pct_change_vs_prev_7d]")!, totals.pct_change_vs_prev_7d);
  renderWeek();
}

function renderWeek(): void {
  const { series } = model.dashboard.productivity;
  const highest = Math.max(...series.map((day) => day.interactions), 1);
  element("week").querySelectorAll("rect").forEach((bar, index) => {
    const day = series[index];
    if (!day) return;
    const height = Math.max((day.interactions / highest) * 100, 2);
    bar.setAttribute("y", (100 - height).toFixed(1));
    bar.setAttribute("height", height.toFixed(1));
    bar.querySelector("title")!.textContent = `${day.day}: ${count(day.interactions)}`;
  });
}

function done(alert: Alert): void {
  model.alerts.put(alert, false);
  render();
  const row = document.querySelector(`[data-alert="${alert.id}"] [data-field=seen]`);
  if (row) flash(row);
}

/** Until they are here, the chart has only what happened since. */
async function startChart(): Promise<void> {
  try {
    await fetchActivity();
  } catch (error) {
    if (error instanceof RestError && [401, 403, 404].includes(error.status)) return; // the status line tells
    setTimeout(() => void startChart(), RETRY_MS);
    if (!(error instanceof TypeError || error instanceof RestError)) throw error; // a bug, not the network
  }
}

goLive({
  clientId,
  clientName: () => undefined,
  fetch: fetchSnapshot,
  apply: (frame) => model.apply(frame),
  isStale: () => model.isStale,
  changed: render,
  alert: (id) => model.alerts.get(id),
  done,
  heard,
  present: ({ clients }) => writeWatchers(element("watchers"), clients[clientId]),
  lost: () => void startChart(),
});
renderActivity();
void startChart();
setInterval(renderActivity, 1000);
