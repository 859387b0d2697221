import { describe as group, expect, it } from "vitest";
import { ConnectionError } from "../../services/closing.js";
import { describe } from "./condition.js";
import { timeOfDay } from "./format.js";

const NOW = Date.parse("2026-01-01T12:00:00Z");
const lost = new ConnectionError("closed", "The connection was closed.", 1006);
const snapshot = { state: "live", latencyMs: null, nextRetryAt: null, error: null } as const;

group("what a connection means", () => {
  it.each([
    [snapshot, NOW, "live", "Live", "", false],
    [{ ...snapshot, latencyMs: 12.4 }, NOW, "live", "Live", "12 ms", false],
    [{ ...snapshot, state: "catchingUp" as const }, NOW, "catching-up", "Catching up", "", false],
    [{ ...snapshot, state: "connecting" as const }, NOW, "connecting", "Connecting", "", false],
    [{ ...snapshot, state: "closed" as const }, NOW, "stale", `Stale since ${timeOfDay(NOW)}`, "", true],
  ])("%o", (state, freshAt, mood, text, detail, canRetry) => {
    expect(describe(state, freshAt, NOW)).toEqual({ mood, text, detail, canRetry });
  });

  it("counts down to the next attempt", () => {
    const state = { ...snapshot, state: "reconnecting" as const, error: lost, nextRetryAt: NOW + 2400 };
    expect(describe(state, NOW - 1000, NOW)).toMatchObject({ mood: "reconnecting", text: "Reconnecting in 3 s", canRetry: true });
  });

  it("says since when a page is stale, and goes on counting", () => {
    const state = { ...snapshot, state: "reconnecting" as const, error: lost, nextRetryAt: NOW + 9000 };
    const since = NOW - 60_000;
    expect(describe(state, since, NOW)).toEqual({
      mood: "stale",
      text: `Stale since ${timeOfDay(since)}`,
      detail: "reconnecting in 9 s",
      canRetry: true,
    });
  });
});
