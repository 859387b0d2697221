/** Events applied to a snapshot equal a fresh snapshot. */

import { describe, expect, it } from "vitest";
import type { EventFrame } from "../../services/protocol.js";
import { noAlerts } from "./alertBook.js";
import { ClientModel, type Dashboard } from "./clientModel.js";
import { alertFrame, anAlert, engagementFrame, interactionFrame } from "./samples.js";

const application = (app_id: string, week: number) => ({
  app_id,
  application: `App ${app_id}`,
  vendor: "OpenAI",
  icon: "",
  status: "Permitted" as const,
  active_users: 3,
  interactions_per_day: Math.round((week / 7) * 10) / 10,
  trend_pct_7d: 5,
  utilization: "High" as const,
  recommendation: "Keep",
});

/** A client whose applications were used so often in the window, of it `today` today. */
function dashboard(weeks: Record<string, number>, today: number, open = noAlerts()): Dashboard {
  const interactions = Object.values(weeks).reduce((sum, week) => sum + week, 0);
  const day = (name: string, uses: number) => ({ day: name, interactions: uses, active_users: 3, flagged: 0 });
  return {
    departments: [],
    applications: Object.entries(weeks).map(([id, week]) => application(id, week)),
    agents: [],
    productivity: {
      interactions,
      interactions_per_active_user: 2,
      pct_change_vs_prev_7d: 1,
      series: [day("2025-12-31", interactions - today), day("2026-01-01", today)],
    },
    totals: {
      interactions_today: today,
      active_users_today: 3,
      interactions_7d: interactions,
      flagged_7d: 0,
      pct_change_vs_prev_7d: 1,
      open_alerts: open,
    },
  };
}

function loaded(snapshot: Dashboard, ...alerts: ReturnType<typeof anAlert>[]): ClientModel {
  const model = new ClientModel(5);
  model.load(snapshot, alerts);
  return model;
}

describe("ClientModel", () => {
  it("equals a fresh snapshot after the events that lead there", () => {
    const model = loaded(dashboard({ a1: 700, a2: 100 }, 50));
    const events: EventFrame[] = [
      interactionFrame(1, 13),
      engagementFrame(2, { applications: [application("a1", 713)] }),
      engagementFrame(3, { applications: [application("a2", 104)] }),
      alertFrame(4, anAlert("x", { severity: "critical" })),
    ];
    for (const event of events) model.apply(event);
    expect(model.dashboard).toEqual(dashboard({ a1: 713, a2: 104 }, 67, { ...noAlerts(), critical: 1 }));
    expect(model.alerts.newest).toEqual([anAlert("x", { severity: "critical" })]);
  });

  it("stays the same where a snapshot holds an event already", () => {
    const alert = anAlert("x");
    const fresh = dashboard({ a1: 713 }, 63, { ...noAlerts(), high: 1 });
    const model = loaded(fresh, alert);
    model.apply(engagementFrame(2, { applications: [application("a1", 713)] }));
    model.apply(alertFrame(4, alert));
    expect(model.dashboard).toEqual(fresh);
    expect(model.alerts.newest).toHaveLength(1);
  });

  it("adds up whole numbers however the day's average was rounded", () => {
    for (const week of [1, 2, 3, 4, 5, 6, 8, 99, 1234, 99_999]) {
      const model = loaded(dashboard({ a1: 0 }, 0));
      model.apply(engagementFrame(1, { applications: [application("a1", week)] }));
      expect(model.dashboard.totals.interactions_7d).toBe(week);
    }
  });

  it("puts a new row where its name belongs", () => {
    const model = loaded(dashboard({ a1: 7, a3: 7 }, 0));
    model.apply(engagementFrame(1, { applications: [application("a2", 7)] }));
    expect(model.rows("applications").map((row) => row["app_id"])).toEqual(["a1", "a2", "a3"]);
  });

  it("merges a broadcast row of few fields, by its name if it has no id, and makes up no row of it", () => {
    const model = loaded(dashboard({ a1: 7 }, 0));
    model.apply(engagementFrame(1, { applications: [{ application: "App a1", active_users: 9 }, { application: "Unheard of" }] }));
    expect(model.rows("applications")).toEqual([{ ...application("a1", 7), active_users: 9 }]);
  });

  it.each([interactionFrame(1, 1), engagementFrame(1, {}), alertFrame(1, anAlert("x"))])("asks for a snapshot after each event", (frame) => {
    const model = loaded(dashboard({ a1: 7 }, 0));
    model.apply(frame);
    expect(model.isStale).toBe(true);
    model.load(dashboard({ a1: 7 }, 0), []);
    expect(model.isStale).toBe(false);
  });
});
