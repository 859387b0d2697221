import { describe, expect, it } from "vitest";
import { CentreModel, type Filters, filtersOf, matches, restQuery } from "./centreModel.js";
import { alertFrame, anAlert } from "./samples.js";

const all = filtersOf(new URLSearchParams("status=any"));
const filters = (more: Partial<Filters>): Filters => ({ ...all, ...more });

describe("filters", () => {
  it.each([
    [filters({}), true],
    [filters({ status: "" }), true],
    [filters({ status: "Complete" }), false],
    [filters({ severity: "high" }), true],
    [filters({ severity: "low" }), false],
    [filters({ client: "c1" }), true],
    [filters({ client: "c2" }), false],
    [filters({ q: "DETAILS chatgpt" }), true],
    [filters({ q: "details gemini" }), false],
  ])("%o find an open, high one: %s", (chosen, expected) => {
    expect(matches(anAlert("x"), chosen)).toBe(expected);
  });

  it("leave out resolved ones if not told otherwise", () => {
    expect(matches(anAlert("x", { status: "Complete" }), filters({ status: "" }))).toBe(false);
  });

  it("ask REST the same question", () => {
    expect(restQuery(filters({ status: "", q: "a b", severity: "low", client: "c1" }), 2, 25).toString()).toBe(
      "page=2&page_size=25&search=a+b&severity=low&client=c1&open=true",
    );
    expect(restQuery(filters({ status: "Pending" }), 1, 25).get("status")).toBe("Pending");
    expect(restQuery(all, 1, 25).has("open")).toBe(false);
  });
});

describe("CentreModel", () => {
  it("shows a new one on the first page, at most a page of them", () => {
    const model = new CentreModel(all, 1, 2);
    model.load(2, [anAlert("a"), anAlert("b")]);
    model.apply(alertFrame(1, anAlert("c", { created_at: "2026-01-02T00:00:00Z" })));
    model.apply(alertFrame(1, anAlert("c", { created_at: "2026-01-02T00:00:00Z" })));
    expect(model.alerts.newest.map(({ id }) => id)).toEqual(["c", "b"]);
    expect(model.found).toBe(3);
  });

  it("only counts it on a later page", () => {
    const model = new CentreModel(all, 2, 2);
    model.load(3, [anAlert("a")]);
    model.apply(alertFrame(1, anAlert("c")));
    expect(model.alerts.newest).toHaveLength(1);
    expect([model.found, model.unseen]).toEqual([4, 1]);
  });

  it("leaves out what does not match, and keeps a row that no longer does", () => {
    const model = new CentreModel(filters({ status: "" }), 1, 5);
    model.load(1, [anAlert("a")]);
    model.apply(alertFrame(1, anAlert("b", { status: "Complete" })));
    model.apply(alertFrame(2, anAlert("a", { status: "Complete" }), "updated"));
    expect(model.alerts.newest.map(({ id, status }) => [id, status])).toEqual([["a", "Complete"]]);
  });
});
