/** uPlot's options for live bars in the portal's colours. */

import uPlot from "uplot";
import { count, timeOfDay } from "@/pages/live/format.js";

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000, 100_000];

const token = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Options for `layers` stacked layers over `span` seconds in bars of `width` seconds, but for the chart's size. */
export function barOptions(
  layers: number,
  span: number,
  width: number,
  onPoint: (index: number | null) => void,
): Omit<uPlot.Options, "width" | "height"> {
  const axis = { stroke: token("--text-3"), ticks: { show: false }, font: `11px ${getComputedStyle(document.body).fontFamily}` };
  const bars = uPlot.paths.bars!({ size: [0.76, 16], radius: 0.25 });
  // The tallest layer comes first, so the last colour does.
  const colours = Array.from({ length: layers }, (_, index) => token(`--series-${layers - index}`));
  return {
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    padding: [8, 18, 0, 0],
    scales: {
      x: { range: (_, __, max) => [max + width / 2 - span, max + width / 2] },
      y: { range: (_, __, max) => [0, Math.max(Math.ceil(max * 1.15), 4)] },
    },
    axes: [
      { ...axis, grid: { show: false }, space: 80, size: 24, values: (_, ticks) => ticks.map((tick) => timeOfDay(tick * 1000)), incrs: [60, 120] },
      {
        ...axis,
        grid: { stroke: token("--line"), width: 1 },
        space: 42,
        size: (_, values) => 14 + 7 * Math.max(...(values ?? [""]).map((value) => value.length)),
        incrs: STEPS,
        values: (_, ticks) => ticks.map(count),
      },
    ],
    series: [{}, ...colours.map((colour) => ({ fill: colour, width: 0, paths: bars, points: { show: false } }))],
    hooks: { setCursor: [(plot) => onPoint(plot.cursor.idx ?? null)] },
  };
}
