/** The live chart: uses in buckets of five seconds, as bars; in total, or stacked by what they are of. */

import { media } from "./media.js"; // first: see there
import uPlot from "uplot";
import { type Activity, BUCKET_S, BUCKETS } from "./activity.js";
import { count, exactTime, plural, timeOfDay } from "./format.js";
import { element } from "./dom.js";
import { serverNow } from "./serverClock.js";

export type Mode = "total" | "parts";

/** So many get a colour of their own; the others share the last one. */
const COLOURS = 4;
const HEIGHT_OF_LEGEND = 24;

interface Layer {
  name: string;
  values: number[];
}

export class LiveChart {
  readonly #root = element("chart");
  readonly #summary = element("chart-summary");
  readonly #activity: Activity;
  readonly #nameOf: (key: string) => string;
  readonly #legend = document.createElement("p");
  readonly #plotted = document.createElement("div");
  #mode: Mode = "total";
  #plot: uPlot | null = null;
  #layers: Layer[] = [];

  constructor(activity: Activity, nameOf: (key: string) => string) {
    this.#activity = activity;
    this.#nameOf = nameOf;
    this.#legend.className = "chart-legend";
    this.#root.replaceChildren(this.#legend, this.#plotted);
    const modes = element("chart-modes");
    modes.hidden = false;
    modes.addEventListener("click", (click) => {
      const button = (click.target as Element).closest<HTMLButtonElement>("[data-mode]");
      if (button) this.#choose(button.dataset["mode"] as Mode, modes);
    });
    const redraw = (): void => this.#rebuild();
    media("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    document.addEventListener("themechange", redraw);
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(this.#root);
  }

  /** Draw what there is. */
  render(): void {
    const now = serverNow();
    const layers = this.#mode === "total" ? [{ name: "All", values: this.#activity.series(now) }] : this.#parts(now);
    const isSameShape = this.#plot && layers.map(({ name }) => name).join("\n") === this.#layers.map(({ name }) => name).join("\n");
    this.#layers = layers;
    if (isSameShape) this.#plot!.setData(this.#data(now));
    else this.#rebuild();
    this.#read(this.#plot!.cursor.idx ?? null);
    this.#describe();
  }

  #choose(mode: Mode, modes: HTMLElement): void {
    this.#mode = mode;
    for (const button of modes.querySelectorAll<HTMLElement>("[data-mode]")) {
      button.setAttribute("aria-pressed", String(button.dataset["mode"] === mode));
    }
    this.render();
  }

  #parts(now: number): Layer[] {
    const keys = this.#activity.keys(now);
    const layers = keys.slice(0, COLOURS).map((key) => ({ name: this.#nameOf(key), values: this.#activity.series(now, key) }));
    const rest = keys.slice(COLOURS).map((key) => this.#activity.series(now, key));
    if (rest.length) {
      const values = this.#activity.starts(now).map((_, index) => rest.reduce((sum, series) => sum + (series[index] ?? 0), 0));
      layers.push({ name: plural(rest.length, "other"), values });
    }
    return layers.length ? layers : [{ name: "All", values: this.#activity.series(now) }];
  }

  /** Stacked: each series holds its own layer and those below; the tallest is drawn first, the others over it. */
  #data(now: number): uPlot.AlignedData {
    const stacked: number[][] = [];
    for (const { values } of this.#layers) {
      const below = stacked.at(-1);
      stacked.push(values.map((value, index) => value + (below?.[index] ?? 0)));
    }
    return [this.#activity.starts(now).map((start) => start + BUCKET_S / 2), ...stacked.toReversed()];
  }

  #size(): { width: number; height: number } {
    const style = getComputedStyle(this.#root);
    const inset = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
    return {
      width: Math.max(this.#root.clientWidth - inset, 120),
      height: this.#root.clientHeight - parseFloat(style.paddingBottom) - HEIGHT_OF_LEGEND,
    };
  }

  #rebuild(): void {
    this.#plot?.destroy();
    this.#plot = new uPlot(this.#options(), this.#data(serverNow()), this.#plotted);
  }

  #options(): uPlot.Options {
    const token = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = { stroke: token("--text-3"), ticks: { show: false }, font: `11px ${getComputedStyle(document.body).fontFamily}` };
    const bars = uPlot.paths.bars!({ size: [0.78, 14], radius: this.#layers.length === 1 ? 0.2 : 0 });
    const colours = this.#layers.map((_, index) => token(`--series-${index + 1}`)).toReversed();
    return {
      ...this.#size(),
      legend: { show: false },
      padding: [8, 18, 0, 0],
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { range: (_, __, max) => [max + BUCKET_S / 2 - BUCKETS * BUCKET_S, max + BUCKET_S / 2] },
        y: { range: (_, __, max) => [0, Math.max(Math.ceil(max * 1.15), 4)] },
      },
      axes: [
        { ...axis, grid: { show: false }, space: 80, size: 24, incrs: [60, 120], values: (_, ticks) => ticks.map((tick) => timeOfDay(tick * 1000)) },
        {
          ...axis,
          grid: { stroke: token("--line"), width: 1 },
          space: 44,
          size: (_, values) => 14 + 7 * Math.max(...(values ?? [""]).map((value) => value.length)),
          incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000, 100_000],
          values: (_, ticks) => ticks.map(count),
        },
      ],
      series: [{}, ...colours.map((colour) => ({ fill: colour, width: 0, paths: bars, points: { show: false } }))],
      hooks: { setCursor: [(plot) => this.#read(plot.cursor.idx ?? null)] },
    };
  }

  /** Write the legend: the names, and the figures of the bucket under the pointer. */
  #read(index: number | null): void {
    const isSingle = this.#layers.length === 1;
    const parts = this.#layers.map(({ name, values }, layer) => {
      const part = document.createElement("span");
      const key = document.createElement("i");
      key.className = "chart-key";
      key.dataset["series"] = String(layer + 1);
      const figure = index === null ? "" : ` ${count(values[index] ?? 0)}`;
      const uses = index === null ? values.reduce((sum, value) => sum + value, 0) : (values[index] ?? 0);
      part.append(...(isSingle ? [plural(uses, "interaction")] : [key, name + figure]));
      return part;
    });
    const start = index === null ? undefined : this.#activity.starts(serverNow())[index];
    const when = document.createElement("span");
    when.className = "chart-when";
    when.textContent = start === undefined ? "" : exactTime(start * 1000);
    this.#legend.replaceChildren(...(start === undefined ? [] : [when]), ...parts);
  }

  #describe(): void {
    const values = this.#activity.series(serverNow());
    const sum = values.reduce((total, value) => total + value, 0);
    this.#summary.textContent = `${plural(sum, "interaction")} in the last five minutes, at most ${count(Math.max(...values))} in five seconds.`;
  }
}
