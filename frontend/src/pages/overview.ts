/** The overview of an MSP's clients, live. */

import type { EventFrame } from "../services/protocol.js";
import { Activity } from "./live/activity.js";
import type { Alert } from "./live/alertBook.js";
import { arrange, cloneOf, element, field, flash, write } from "./live/dom.js";
import { Feed } from "./live/feed.js";
import { writeField, writeSeverities, writeTotal } from "./live/figures.js";
import { LiveChart } from "./live/chart.js";
import { count } from "./live/format.js";
import { perFrame } from "./live/frames.js";
import { type ClientRow, type Overview, OverviewModel } from "./live/overviewModel.js";
import { clientUrl, goLive, pageData } from "./live/page.js";
import { avatar, writeWatchers } from "./live/presence.js";
import { API, cursorOf, get, type Positioned } from "./live/rest.js";
import { observe, serverNow } from "./live/serverClock.js";
import { spark } from "./live/spark.js";
import { writeTime } from "./live/times.js";
import { connected, type PresenceOverview, viewers, watchersOf } from "./live/watched.js";

const FEED = 30;

const model = new OverviewModel(FEED);
const activity = new Activity();
const rows = new Map(
  [...document.querySelectorAll<HTMLElement>("#clients tbody tr")].map((row) => [row.dataset["client"] ?? "", row]),
);
const clientName = (id: string): string | undefined => model.client(id)?.client;
const chart = new LiveChart(activity, (id) => clientName(id) ?? "Unknown");
const feed = new Feed({ clientName, clientUrl, username: pageData("username") });
let hasActivity = false;

async function fetchSnapshot() {
  // The alerts first: their positions are from before their rows, and from before the overview's.
  const alerts = await get<Positioned<{ results: Alert[] }>>(`${API}/alerts/?page_size=${FEED}`);
  const overview = await get<Overview>(pageData("dataUrl"));
  const commit = (): void => {
    if (overview.clients.some(({ client_id }) => !rows.has(client_id))) location.reload(); // a client is new
    model.load(overview, alerts.results);
    if (hasActivity) return;
    hasActivity = true;
    observe(overview.until);
    activity.load(overview.until, overview.clients.map(({ client_id, recent }) => [client_id, recent] as const));
    renderActivity();
  };
  return { cursor: cursorOf(alerts), commit };
}

function heard(frame: EventFrame): void {
  if (frame.type === "interaction_update") activity.add(frame.client_id, Date.parse(frame.timestamp), frame.data.interaction_count);
}

const render = perFrame(() => {
  for (const id of model.changed) {
    const client = model.client(id);
    const row = rows.get(id);
    if (client && row) renderRow(row, client);
  }
  model.changed.clear();
  const totals = model.totals();
  for (const name of ["interactions_today", "active_users", "open_alerts_total"] as const) writeTotal(name, count(totals[name]));
  writeSeverities(element("total-severities"), totals.open_alerts);
  feed.render(model.alerts.newest);
});

function renderRow(row: HTMLElement, client: ClientRow): void {
  for (const name of ["interactions_today", "active_users"] as const) {
    const target = field(row, name);
    if (target) writeField(target, name, client[name]);
  }
  writeSeverities(row, client.open_alerts);
  writeTime(field<HTMLTimeElement>(row, "last_activity"), client.last_activity_iso);
}

const renderActivity = perFrame(() => {
  const now = serverNow();
  for (const [id, row] of rows) {
    const { line, area } = spark(activity.series(now, id));
    row.querySelector(".spark-line")!.setAttribute("d", line);
    row.querySelector(".spark-area")!.setAttribute("d", area);
  }
  chart.render();
  writeTotal("rate", count(activity.sum(now, 60)));
});

function renderPresence(overview: PresenceOverview): void {
  writeWatchers(element("watchers"), overview.msp);
  for (const [id, row] of rows) write(field(row, "viewers"), viewers(watchersOf(overview, id).length));
  const people = connected(overview, clientName);
  element("connected-card").hidden = false;
  write(element("connected"), count(people.length));
  arrange(
    element("people"),
    "person",
    people,
    ({ key }) => key,
    () => cloneOf(element<HTMLTemplateElement>("person")),
    (item, person) => {
      item.querySelector(".avatar")?.replaceWith(avatar(person.user));
      for (const name of ["user", "role", "where"] as const) write(field(item, name), person[name]);
    },
  );
}

function letClientsBeFiltered(): void {
  const input = element<HTMLInputElement>("client-filter");
  input.hidden = false;
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows.values()) {
      row.hidden = !words.every((word) => row.dataset["words"]?.includes(word));
      if (!row.hidden) shown += 1;
    }
    const none = document.getElementById("no-client");
    if (none) none.hidden = shown > 0 || rows.size === 0;
  });
}

function done(alert: Alert): void {
  model.alerts.put(alert, false);
  render();
  const seen = document.querySelector(`[data-alert="${alert.id}"] [data-field=seen]`);
  if (seen) flash(seen);
}

letClientsBeFiltered();
activity.expect();
goLive({
  clientName,
  fetch: fetchSnapshot,
  apply: (frame) => model.apply(frame),
  isStale: () => model.isStale,
  changed: render,
  alert: (id) => model.alerts.get(id),
  done,
  heard,
  present: renderPresence,
  lost: () => {
    hasActivity = false;
    activity.expect();
  },
});
setInterval(renderActivity, 1000);
