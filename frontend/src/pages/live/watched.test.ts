import { describe, expect, it } from "vitest";
import { connected, initials, peopleIn, tint, viewers, watching } from "./watched.js";

const ana = { user: "ana.lima", role: "msp_admin" };
const ben = { user: "ben", role: "client_user" };

describe("who watches", () => {
  it("is named by place and role, and once where the whole MSP is watched", () => {
    const overview = {
      msp: { msp_watchers: 1, client_watchers: 0, watchers: [ana] },
      clients: { c1: { msp_watchers: 1, client_watchers: 1, watchers: [ana, ben] } },
    };
    expect(connected(overview, (id) => (id === "c1" ? "Harbor" : undefined))).toEqual([
      { key: "msp ana.lima", user: "ana.lima", role: "MSP administrator", where: "All clients" },
      { key: "c1 ben", user: "ben", role: "Client user", where: "Harbor" },
    ]);
  });

  it("is counted in words, the unnamed too", () => {
    expect(peopleIn({ msp_watchers: 2, client_watchers: 1, watchers: [ben] })).toBe(3);
    expect([0, 1, 2].map(viewers)).toEqual(["", " · 1 viewer", " · 2 viewers"]);
    expect([watching(1), watching(1200)]).toEqual(["1 person watching", "1,200 people watching"]);
  });

  it("has two letters and always the same colour", () => {
    expect([initials("ana.lima"), initials("ben"), initials("msp_admin_two")]).toEqual(["AL", "B", "MA"]);
    expect(tint("ben")).toBe(tint("ben"));
    for (const name of ["ana", "ben", "cleo", "dev", "eve", ""]) expect([1, 2, 3, 4, 5]).toContain(tint(name));
  });
});
