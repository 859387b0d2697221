/** The alert centre, live. */

import type { Alert } from "./live/alertBook.js";
import { fillCentreRow, makeRow } from "./live/alertRows.js";
import { CentreModel, filtersOf, restQuery } from "./live/centreModel.js";
import { arrange, element, write } from "./live/dom.js";
import { count, plural } from "./live/format.js";
import { perFrame } from "./live/frames.js";
import { clientUrl, goLive, pageData } from "./live/page.js";
import { API, cursorOf, get, type Positioned } from "./live/rest.js";

const page = Number(pageData("pageNumber"));
const perPage = Number(pageData("perPage"));
const filters = filtersOf(new URLSearchParams(location.search));
const clientNames = JSON.parse(element("client-names").textContent ?? "{}") as Record<string, string>;
const model = new CentreModel(filters, page, perPage);
const clientName = (id: string): string | undefined => clientNames[id];
const naming = { clientName, clientUrl, username: pageData("username") };

async function fetchSnapshot() {
  const query = restQuery(filters, page, perPage);
  const answer = await get<Positioned<{ count: number; results: Alert[] }>>(`${API}/alerts/?${query}`);
  return { cursor: cursorOf(answer), commit: () => model.load(answer.count, answer.results) };
}

const render = perFrame(() => {
  const alerts = model.alerts.newest;
  arrange(
    element("alert-rows"),
    "alert",
    alerts,
    (alert) => alert.id,
    () => makeRow(element<HTMLTemplateElement>("alert-row")),
    (row, alert) => fillCentreRow(row, alert, naming),
  );
  element("no-alert").hidden = alerts.length > 0;
  write(element("found"), count(model.found), true);
  element("fresh").hidden = model.unseen === 0;
  write(element("fresh-link"), `${plural(model.unseen, "new alert")}: go to the first page`);
});

goLive({
  clientName,
  fetch: fetchSnapshot,
  apply: (frame) => model.apply(frame),
  isStale: () => model.isStale,
  changed: render,
  alert: (id) => model.alerts.get(id),
  done: (alert) => {
    model.alerts.put(alert, false);
    render();
  },
});
