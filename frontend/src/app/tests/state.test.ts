import { describe, expect, it } from "vitest";
import { activityOf, BUCKETS, busiest, perMinute, series, withUses } from "../state/activity.js";
import { FEED_LENGTH, feedAfter, feedOf, newestFirst, withAlert } from "../state/alerts.js";
import { applyToCentre, centreOf, filterOf, matches, NO_FILTER, queryOf, refreshed, restQuery, withOlder } from "../state/centre.js";
import { advance } from "../state/document.js";
import { applyToOverview, overviewOf, totalsOf } from "../state/overview.js";
import { alert, alertEvent, page, STREAM, useEvent } from "../testing/events.js";

const row = (client_id: string, interactions_today = 0) => ({
  client_id,
  client: client_id.toUpperCase(),
  industry: "",
  status: "active",
  interactions_today,
  active_users: 0,
  open_alerts: { low: 0, medium: 0, high: 0, critical: 0 },
  last_activity_iso: null,
  recent: [],
});
const overview = () => overviewOf(page([]), { until: "2026-01-01T11:00:00Z", clients: [row("c1", 5), row("c2", 7)] });

describe("a document", () => {
  it("takes an event once, in any number of offers", () => {
    const use = useEvent(11, { interaction_count: 3, app_id: "a" });
    const once = advance(overview(), [use], applyToOverview);
    expect(once.clients[0]!.interactions_today).toBe(8);
    expect(advance(once, [use, use], applyToOverview)).toBe(once);
    expect(advance(overview(), [use, use], applyToOverview).clients[0]!.interactions_today).toBe(8);
  });

  it("leaves out what its snapshot holds already", () => {
    const before = overview();
    expect(advance(before, [useEvent(10, { interaction_count: 3 })], applyToOverview)).toBe(before);
  });
});

describe("the overview", () => {
  it("counts uses at the right client, and asks for a snapshot", () => {
    const after = advance(overview(), [useEvent(11, { interaction_count: 2 })], applyToOverview);
    expect(after.clients.map((client) => client.interactions_today)).toEqual([7, 7]);
    expect(after.clients[0]!.last_activity_iso).toBe("2026-01-01T12:00:00Z");
    expect(after.isStale).toBe(true);
    expect(totalsOf(after.clients).interactions_today).toBe(14);
  });

  it("keeps the rows of the clients nothing happened to", () => {
    const before = overview();
    const after = advance(before, [useEvent(11, { interaction_count: 2 })], applyToOverview);
    expect(after.clients[1]).toBe(before.clients[1]);
  });

  it("asks for a snapshot when it hears of an alert, or of a client it does not know", () => {
    expect(advance(overview(), [alertEvent(11, { ...alert({ id: "x" }), client_id: "new" })], applyToOverview).isStale).toBe(true);
    expect(advance(overview(), [alertEvent(11, alert({ id: "x" }))], applyToOverview).isStale).toBe(true);
  });
});

describe("the feed of alerts", () => {
  const raised = alertEvent(11, { ...alert({ id: "x" }), change: "created" });

  it("counts an alert up when raised, down when resolved, up when reopened", () => {
    let { feed, deltas } = feedAfter(feedOf([]), [raised as never]);
    expect(deltas).toEqual([{ client_id: "c1", severity: "high", by: 1 }]);
    const changes = [
      { status: "Complete", by: -1 },
      { status: "Pending", by: 1 },
    ] as const;
    for (const { status, by } of changes) {
      ({ feed, deltas } = feedAfter(feed, [alertEvent(12, { ...alert({ id: "x", status }), change: "updated" }) as never]));
      expect(deltas.reduce((sum, delta) => sum + delta.by, 0)).toBe(by);
    }
    expect(feedAfter(feed, [alertEvent(13, { ...alert({ id: "x", status: "Pending" }), change: "deleted" }) as never]).feed.newest).toEqual([]);
  });

  it("moves an alert between severities", () => {
    const { feed } = feedAfter(feedOf([]), [raised as never]);
    const { deltas } = feedAfter(feed, [alertEvent(12, { ...alert({ id: "x", severity: "low" }), change: "updated" }) as never]);
    expect(deltas.map(({ severity, by }) => [severity, by])).toEqual([["high", -1], ["low", 1]]);
  });

  it("cannot tell what a change of an unknown alert means", () => {
    const { deltas, isStale } = feedAfter(feedOf([]), [alertEvent(11, { ...alert({ id: "old" }), change: "updated" }) as never]);
    expect([deltas, isStale]).toEqual([[], true]);
  });

  it("shows what was only broadcast, and does not count it", () => {
    const { feed, deltas } = feedAfter(feedOf([]), [alertEvent(11, { severity: "low", details: "Heads up" }) as never]);
    expect(feed.newest.map(({ id, details }) => [id, details])).toEqual([[`${STREAM}:11`, "Heads up"]]);
    expect(deltas).toEqual([]);
  });

  it("stays small in a storm", () => {
    const storm = Array.from({ length: 5000 }, (_, index) => alertEvent(11 + index, { ...alert({ id: `a${index}` }), change: "created" }));
    const { feed } = feedAfter(feedOf([]), storm as never);
    expect(feed.newest).toHaveLength(FEED_LENGTH);
    expect(feed.known.size).toBe(500);
  });

  it("orders by time, whatever its precision, then by id", () => {
    const times = ["2026-01-01T10:00:00.5Z", "2026-01-01T10:00:00Z", "2026-01-01T10:00:01Z"];
    const alerts = times.map((created_at, index) => alert({ id: `a${index}`, created_at }));
    expect(alerts.sort(newestFirst).map(({ id }) => id)).toEqual(["a2", "a0", "a1"]);
    expect(withAlert(alerts, alert({ id: "b", created_at: times[1]! }), true).map(({ id }) => id)).toEqual(["a2", "a0", "b", "a1"]);
  });
});

describe("activity", () => {
  const noon = Date.parse("2026-01-01T12:00:00Z");
  const start = activityOf("2026-01-01T11:59:30Z", [["a", [[noon / 1000 - 40, 3]]]]);

  it("counts on from what the server had counted", () => {
    const after = withUses(start, [
      { key: "a", atMs: noon - 31_000, uses: 100 }, // before the server counted
      { key: "a", atMs: noon - 1000, uses: 2 },
      { key: "b", atMs: noon - 1000, uses: 4 },
      { key: "b", atMs: noon - 1000, uses: -4 }, // a correction
    ]);
    expect(perMinute(after, noon)).toBe(9);
    expect(busiest(after, noon)).toEqual(["a", "b"]);
    expect(series(after, noon, "a")).toHaveLength(BUCKETS);
  });

  it("forgets what is older than the chart", () => {
    let activity = start;
    for (let second = 0; second < 3600; second += 5) activity = withUses(activity, [{ key: "a", atMs: noon + second * 1000, uses: 1 }]);
    expect(Object.keys(activity.byKey["a"]!).length).toBeLessThanOrEqual(BUCKETS);
  });
});

describe("the alert centre", () => {
  const filter = { ...NO_FILTER };
  const older = Array.from({ length: 3 }, (_, index) => alert({ id: `o${index}`, created_at: `2026-01-01T0${9 - index}:00:00Z` }));

  it("writes its filter into the address and reads it back", () => {
    const asked = { search: "gpt keys", severities: ["high", "critical"], status: "Pending", client: "c1", assignee: "me" } as const;
    expect(filterOf(queryOf(asked))).toEqual(asked);
    expect(queryOf(NO_FILTER).toString()).toBe("");
    expect(filterOf(new URLSearchParams("status=nonsense&severity=worst"))).toEqual(NO_FILTER);
    expect(restQuery(NO_FILTER).toString()).toBe("open=true");
  });

  it.each([
    [{ search: "VOLUME gpt" }, true],
    [{ search: "volume copilot" }, false],
    [{ severities: ["low"] as const }, false],
    [{ status: "open" as const }, true],
    [{ status: "Pending" as const }, false],
    [{ client: "c2" }, false],
    [{ assignee: "me" }, false],
  ])("finds as the server does: %o", (fields, isFound) => {
    expect(matches(alert({ id: "x" }), { ...NO_FILTER, ...fields })).toBe(isFound);
  });

  it("takes in what is raised, lets go what no longer matches, and counts both", () => {
    const centre = centreOf(filter, page(older, { count: 30, next: "more" }));
    const grown = applyToCentre(centre, [alertEvent(11, { ...alert({ id: "n" }), change: "created" })]);
    expect([grown.alerts[0]!.id, grown.found]).toEqual(["n", 31]);
    const shrunk = applyToCentre(grown, [alertEvent(12, { ...older[1]!, status: "Complete", change: "updated" })]);
    expect([shrunk.alerts.map(({ id }) => id), shrunk.found]).toEqual([["n", "o0", "o2"], 30]);
    expect(applyToCentre(shrunk, [alertEvent(13, { ...alert({ id: "unknown" }), change: "updated" })]).isStale).toBe(true);
  });

  it("joins older pages that overlap, and keeps them when the first is fetched again", () => {
    const first = centreOf(filter, page(older.slice(0, 2), { count: 3, next: "more" }));
    const whole = withOlder(first, { next: null, results: older.slice(1) });
    expect(whole.alerts.map(({ id }) => id)).toEqual(["o0", "o1", "o2"]);
    expect(whole.hasMore).toBe(false);
    const again = centreOf(filter, page([alert({ id: "n" }), older[0]!], { count: 4, next: "more" }));
    expect(refreshed(whole, again).alerts.map(({ id }) => id)).toEqual(["n", "o0", "o1", "o2"]);
    expect(refreshed(whole, again).hasMore).toBe(false);
  });

  it("keeps no more than it must in a storm, and says that there is more", () => {
    const storm = Array.from({ length: 2500 }, (_, index) => alertEvent(11 + index, { ...alert({ id: `a${index}` }), change: "created" }));
    const after = applyToCentre(centreOf(filter, page(older)), storm);
    expect(after.alerts).toHaveLength(2000);
    expect([after.found, after.hasMore]).toEqual([2503, true]);
  });
});
