import { expect, it } from "vitest";
import { Fold } from "./folding.js";
import { anAlert } from "./samples.js";

const nobody = (): undefined => undefined;

it("tells of one alert what it is", () => {
  const fold = new Fold();
  fold.add(anAlert("a", { details: "Keys leaked" }));
  expect(fold.describe(() => "Harbor Dental")).toEqual({
    severity: "high",
    title: "High alert – ChatGPT · Harbor Dental",
    text: "Keys leaked",
  });
});

it("tells of a storm how many there are, the worst first", () => {
  const fold = new Fold();
  for (let index = 0; index < 1200; index += 1) fold.add(anAlert(`a${index}`, { severity: index % 2 ? "low" : "medium" }));
  fold.add(anAlert("z", { severity: "critical", created_at: "2026-01-02T00:00:00Z" }));
  expect(fold.describe(nobody)).toEqual({
    severity: "critical",
    title: "1,201 new alerts",
    text: "1 critical, 600 medium, 600 low. Newest: Details of z",
  });
});

it("begins anew once the toast is gone", () => {
  const fold = new Fold();
  fold.add(anAlert("a"));
  fold.clear();
  expect(fold.isEmpty).toBe(true);
  expect(fold.describe(nobody)).toBeNull();
});
