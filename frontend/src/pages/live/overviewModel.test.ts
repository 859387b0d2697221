import { describe, expect, it } from "vitest";
import { noAlerts } from "./alertBook.js";
import { OverviewModel } from "./overviewModel.js";
import { alertFrame, anAlert, CLIENT, interactionFrame } from "./samples.js";

function model(): OverviewModel {
  const made = new OverviewModel(5);
  const row = { client: "One", interactions_today: 10, active_users: 2, open_alerts: noAlerts(), last_activity_iso: null, recent: [] };
  made.load(
    { until: "2026-01-01T12:00:00Z", clients: [{ ...row, client_id: CLIENT }, { ...row, client_id: "c2", client: "Two" }] },
    [],
  );
  made.changed.clear();
  return made;
}

describe("OverviewModel", () => {
  it("counts up, and says whose row changed", () => {
    const overview = model();
    overview.apply(interactionFrame(1, 5));
    expect(overview.client(CLIENT)).toMatchObject({ interactions_today: 15, last_activity_iso: "2026-01-01T12:00:00Z" });
    expect([...overview.changed]).toEqual([CLIENT]);
    expect(overview.totals()).toMatchObject({ interactions_today: 25, active_users: 4 });
  });

  it("counts alerts of a client and of all", () => {
    const overview = model();
    overview.apply(alertFrame(1, anAlert("x", { severity: "critical" })));
    overview.apply(alertFrame(2, anAlert("x", { severity: "critical" })));
    expect(overview.client(CLIENT)!.open_alerts.critical).toBe(1);
    expect(overview.totals().open_alerts_total).toBe(1);
  });

  it("asks for a snapshot where a client is new", () => {
    const overview = model();
    overview.apply({ ...interactionFrame(1, 5), client_id: "c3" });
    expect(overview.isStale).toBe(true);
  });
});
