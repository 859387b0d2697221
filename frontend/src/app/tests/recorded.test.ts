/** What a real server told (frontend/scripts/record-events.py): the first answer and the events after it make the second answer. */

import { describe, expect, it } from "vitest";
import type { EventFrame } from "@/services/protocol.js";
import { series } from "../state/activity.js";
import { type Filter, applyToCentre, centreOf, matches, NO_FILTER } from "../state/centre.js";
import { type ActivityData, applyToDashboard, type Dashboard, dashboardOf, type FiguresAnswer } from "../state/dashboard.js";
import { advance } from "../state/document.js";
import { type AlertPage, applyToOverview, overviewOf, type OverviewData } from "../state/overview.js";
import recorded from "../testing/recorded.json";

interface Answers {
  alerts: AlertPage;
  figures: FiguresAnswer;
  activity: ActivityData;
  overview: OverviewData;
}

const before = recorded.before as unknown as Answers;
const after = recorded.after as unknown as Answers;
const events = recorded.events as unknown as EventFrame[];
const stream = `client.${recorded.client}`;

/** The alerts are listed for the MSP's stream; the events are of the client's. */
const at = (answers: Answers): AlertPage => ({ ...answers.alerts, positions: { [stream]: answers.figures.positions[stream]! } });
const snapshot = (answers: Answers): Dashboard => dashboardOf(at(answers), answers.figures, answers.activity);

/** Figures that no event tells: with them, a document says that it is stale. */
function told({ figures: { productivity, totals, ...figures } }: Dashboard) {
  const { active_users_today: _, flagged_7d: __, pct_change_vs_prev_7d: ___, ...told } = totals;
  const series = productivity.series.map(({ day, interactions }) => ({ day, interactions }));
  return { ...figures, totals: told, productivity: { interactions: productivity.interactions, series } };
}

const inBatches = <D>(document: D, size: number, step: (document: D, batch: EventFrame[]) => D): D => {
  let next = document;
  for (let start = 0; start < events.length; start += size) next = step(next, events.slice(start, start + size));
  return next;
};

describe("a recorded stream", () => {
  it("is worth the name", () => {
    expect(new Set(events.map(({ type }) => type))).toEqual(new Set(["alert", "interaction_update", "engagement_update"]));
    expect(told(snapshot(before))).not.toEqual(told(snapshot(after)));
  });

  it.each([1, 7, 1000])("makes a client's dashboard what a fresh answer says, in batches of %i", (size) => {
    const result = inBatches(snapshot(before), size, (document, batch) => advance(document, batch, applyToDashboard));
    expect(told(result)).toEqual(told(snapshot(after)));
    expect(result.isStale).toBe(true);
    expect(result.positions[stream]).toBe(events.at(-1)!.seq);
  });

  it("changes nothing when told again, in whole or in part", () => {
    const once = advance(snapshot(before), events, applyToDashboard);
    expect(advance(once, events, applyToDashboard)).toBe(once);
    const half = advance(snapshot(before), events.slice(0, 20), applyToDashboard);
    expect(advance(half, events, applyToDashboard)).toEqual(once);
  });

  it("makes the feed the newest alerts as they are now", () => {
    const result = advance(snapshot(before), events, applyToDashboard);
    const ids = result.feed.newest.map(({ id }) => id);
    expect(ids).toEqual(after.alerts.results.slice(0, ids.length).map(({ id }) => id));
    expect(result.feed.newest.map(({ status, assignee }) => [status, assignee])).toEqual(
      after.alerts.results.slice(0, ids.length).map(({ status, assignee }) => [status, assignee]),
    );
  });

  it("makes the overview's rows what a fresh answer says", () => {
    const result = inBatches(overviewOf(at(before), before.overview), 3, (document, batch) => advance(document, batch, applyToOverview));
    const fields = ({ clients }: { clients: readonly { client_id: string; interactions_today: number; open_alerts: object }[] }) =>
      clients.map(({ client_id, interactions_today, open_alerts }) => ({ client_id, interactions_today, open_alerts }));
    expect(fields(result)).toEqual(fields(after.overview));
  });

  it("makes the live chart what a fresh answer says", () => {
    const result = advance(snapshot(before), events, applyToDashboard);
    const fresh = snapshot(after);
    const now = Date.parse(after.activity.until);
    const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
    expect(sum(series(result.activity, now))).toBe(sum(series(fresh.activity, now)));
    expect(sum(series(fresh.activity, now))).toBeGreaterThan(0);
  });

  it.each<Partial<Filter>>([{}, { status: "any" }, { severities: ["high", "critical"], status: "any" }, { status: "Pending", assignee: "msp_admin" }])(
    "makes the alert centre what a fresh answer says: %o",
    (fields) => {
      const filter = { ...NO_FILTER, ...fields };
      const found = (answers: Answers): AlertPage => {
        const results = answers.alerts.results.filter((alert) => matches(alert, filter));
        return { ...at(answers), results, count: results.length };
      };
      const result = inBatches(centreOf(filter, found(before)), 2, (document, batch) => advance(document, batch, applyToCentre));
      const fresh = centreOf(filter, found(after));
      expect(result.found).toBe(fresh.found);
      expect(result.alerts.map(({ id, status }) => [id, status])).toEqual(fresh.alerts.map(({ id, status }) => [id, status]));
    },
  );
});
