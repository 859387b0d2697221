import { expect, it } from "vitest";
import { spark } from "./spark.js";

it("spans the box from edge to edge, the highest value on top", () => {
  const { line, area } = spark([0, 5, 10], 100, 28);
  expect(line).toBe("M0 27.3L50 14.3L100 1.3");
  expect(area).toBe(`${line}L100 28L0 28Z`);
});

it("is a flat line where nothing happened", () => {
  expect(spark([0, 0], 100, 28).line).toBe("M0 27.3L100 27.3");
});
