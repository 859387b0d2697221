import { describe, expect, it } from "vitest";
import { Activity } from "./activity.js";

const NOW = Date.parse("2026-01-01T12:00:02Z");
const second = (before: number): number => Math.floor(NOW / 1000) - before;

describe("Activity", () => {
  it("puts uses into buckets, oldest first", () => {
    const activity = new Activity(5, 4);
    activity.load(new Date(NOW).toISOString(), [["a", [[second(1), 2], [second(2), 3], [second(6), 7], [second(60), 99]]]]);
    expect(activity.series(NOW)).toEqual([0, 0, 7, 5]);
    expect(activity.starts(NOW)).toEqual([second(17), second(12), second(7), second(2)]);
  });

  it("leaves out events that the counts hold already", () => {
    const activity = new Activity(5, 4);
    activity.load(new Date(NOW).toISOString(), [["a", [[second(0), 2]]]]);
    activity.add("a", NOW, 2);
    activity.add("a", NOW + 1, 3);
    expect(activity.sum(NOW + 1, 5)).toBe(5);
  });

  it("keeps what came while the counts were on their way", () => {
    const activity = new Activity(5, 4);
    activity.load(new Date(NOW - 10_000).toISOString(), []);
    activity.expect();
    activity.add("a", NOW - 1000, 4); // read by the server already
    activity.add("a", NOW + 1000, 3);
    activity.load(new Date(NOW).toISOString(), [["a", [[second(1), 4]]]]);
    expect(activity.series(NOW + 1000)).toEqual([0, 0, 0, 7]);
  });

  it("moves on with time and forgets", () => {
    const activity = new Activity(5, 4);
    activity.add("a", NOW, 1);
    expect(activity.series(NOW + 15_000)).toEqual([1, 0, 0, 0]);
    expect(activity.series(NOW + 20_000)).toEqual([0, 0, 0, 0]);
  });

  it("takes nothing away for corrections", () => {
    const activity = new Activity(5, 4);
    activity.add("a", NOW, 3);
    activity.add("a", NOW, -2);
    expect(activity.sum(NOW, 5)).toBe(3);
  });

  it("names the busiest first", () => {
    const activity = new Activity(5, 4);
    activity.add("quiet", NOW, 1);
    activity.add("busy", NOW, 5);
    expect(activity.keys(NOW)).toEqual(["busy", "quiet"]);
    expect(activity.series(NOW, "quiet").at(-1)).toBe(1);
    expect(activity.series(NOW).at(-1)).toBe(6);
  });
});
