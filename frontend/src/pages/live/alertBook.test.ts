import { describe, expect, it } from "vitest";
import { AlertBook } from "./alertBook.js";
import { alertFrame, anAlert, CLIENT } from "./samples.js";

const at = (minute: number): string => `2026-01-01T12:${String(minute).padStart(2, "0")}:00Z`;

function book(...alerts: Parameters<AlertBook["load"]>[0][number][]): AlertBook {
  const made = new AlertBook(3);
  made.load(alerts);
  return made;
}

const ids = (alerts: AlertBook): string[] => alerts.newest.map(({ id }) => id);

describe("AlertBook", () => {
  it("keeps the newest, in order, also where they come out of it", () => {
    const alerts = book(anAlert("b", { created_at: at(2) }));
    alerts.apply(alertFrame(1, anAlert("a", { created_at: at(1) })));
    alerts.apply(alertFrame(2, anAlert("d", { created_at: at(4) })));
    alerts.apply(alertFrame(3, anAlert("c", { created_at: at(3) })));
    expect(ids(alerts)).toEqual(["d", "c", "b"]);
  });

  it("shows an alert once, however often its event comes", () => {
    const alerts = book();
    expect(alerts.apply(alertFrame(1, anAlert("a")))).toEqual([{ client_id: CLIENT, severity: "high", by: 1 }]);
    const again = alerts.apply(alertFrame(1, anAlert("a")));
    expect(again.reduce((sum, { by }) => sum + by, 0)).toBe(0);
    expect(ids(alerts)).toEqual(["a"]);
  });

  it("counts a resolved one down, and a reopened one up", () => {
    const alerts = book(anAlert("a"));
    const sum = (change: Partial<ReturnType<typeof anAlert>>): number =>
      alerts.apply(alertFrame(1, anAlert("a", change), "updated")).reduce((total, { by }) => total + by, 0);
    expect(sum({ status: "Complete" })).toBe(-1);
    expect(sum({ status: "AI Resolved" })).toBe(0);
    expect(sum({ status: "Pending" })).toBe(1);
  });

  it("moves a count where the severity changes", () => {
    const alerts = book(anAlert("a", { severity: "low" }));
    expect(alerts.apply(alertFrame(1, anAlert("a", { severity: "critical" }), "updated"))).toEqual([
      { client_id: CLIENT, severity: "low", by: -1 },
      { client_id: CLIENT, severity: "critical", by: 1 },
    ]);
  });

  it("takes out what was deleted", () => {
    const alerts = book(anAlert("a"));
    expect(alerts.apply(alertFrame(1, anAlert("a"), "deleted"))).toEqual([{ client_id: CLIENT, severity: "high", by: -1 }]);
    expect(ids(alerts)).toEqual([]);
  });

  it("neither counts a changed alert that it never met, nor shows it as new", () => {
    const alerts = book();
    expect(alerts.apply(alertFrame(1, anAlert("old"), "updated"))).toEqual([]);
    expect(ids(alerts)).toEqual([]);
  });

  it("shows a broadcast that was never saved, and does not count it", () => {
    const alerts = book();
    const frame = alertFrame(7, anAlert("x"));
    frame.data = { severity: "high", details: "Suspicious", app: "ChatGPT" };
    expect(alerts.apply(frame)).toEqual([]);
    expect(ids(alerts)).toEqual([`client.${CLIENT}:7`]);
  });
});
