/** Uses over the last five minutes, as bars of five seconds: in total, or stacked by what they are of. */

import { media } from "@/pages/live/media.js"; // first: see there
import uPlot from "uplot";
import { memo, type ReactNode, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "react";
import { count, exactTime, plural } from "@/pages/live/format.js";
import { useNow } from "../parts/useNow.js";
import { useThrottled } from "../parts/useThrottled.js";
import { type Activity, BUCKET_S, BUCKETS, busiest, series, starts } from "../state/activity.js";
import { barOptions } from "./plot.js";

/** So many get a colour of their own; the others share the last one. */
const COLOURS = 4;

interface Layer {
  key: string;
  name: string;
  values: readonly number[];
}

interface Props {
  activity: Activity;
  nameOf: (key: string) => string;
  /** What the stacked form is called, such as "By client". */
  by: string;
}

/** Bars of five seconds need not move more often. */
const REDRAW_MS = 250;

export function LiveChart({ activity, ...rest }: Props): ReactNode {
  return <Chart activity={useThrottled(activity, REDRAW_MS)} {...rest} />;
}

const Chart = memo(ChartCard, (before, after) => before.activity === after.activity && before.by === after.by);

function ChartCard({ activity, nameOf, by }: Props): ReactNode {
  const now = useNow();
  const [isStacked, setIsStacked] = useState(true);
  const titleId = useId();
  const theme = useTheme();
  const times = starts(now);
  const total = series(activity, now);
  const layers = isStacked ? layersOf(activity, now, nameOf) : [];
  if (layers.length === 0) layers.push({ key: "", name: "All", values: total });
  const [pointed, setPointed] = useState<number | null>(null);
  const highest = Math.max(...total);
  const all = total.reduce((sum, uses) => sum + uses, 0);
  return (
    <section className="card" aria-labelledby={titleId}>
      <header className="card-head">
        <h2 id={titleId}>
          Live interactions <span className="card-hint">last 5 minutes</span>
        </h2>
        <div className="segments" role="group" aria-label="What the chart shows">
          <button type="button" aria-pressed={!isStacked} onClick={() => setIsStacked(false)}>
            Total
          </button>
          <button type="button" aria-pressed={isStacked} onClick={() => setIsStacked(true)}>
            {by}
          </button>
        </div>
      </header>
      <div className="chart">
        <p className="chart-legend" aria-hidden="true">
          <span className="chart-when">
            {pointed === null ? `${count(all)} interactions` : `${exactTime(times[pointed]! * 1000)} · ${count(total[pointed] ?? 0)}`}
          </span>
          {(layers.length > 1 || isStacked) &&
            layers.map(({ key, name, values }, index) => (
              <span key={key} className="chart-part">
                <i className="chart-key" data-series={index + 1} />
                {name}
                {pointed !== null && <b> {count(values[pointed] ?? 0)}</b>}
              </span>
            ))}
        </p>
        <Plot key={`${layers.length} ${theme}`} times={times} layers={layers} onPoint={setPointed} />
      </div>
      <p className="visually-hidden">
        {plural(all, "interaction")} in the last five minutes, at most {count(highest)} in five seconds.
      </p>
    </section>
  );
}

function layersOf(activity: Activity, now: number, nameOf: (key: string) => string): Layer[] {
  const keys = busiest(activity, now);
  // By name, so that colours do not jump when two swap places.
  const shown = keys.slice(0, COLOURS).sort((a, b) => nameOf(a).localeCompare(nameOf(b)));
  const layers = shown.map((key) => ({ key, name: nameOf(key), values: series(activity, now, key) }));
  const rest = keys.slice(COLOURS).map((key) => series(activity, now, key));
  if (rest.length) {
    const values = starts(now).map((_, index) => rest.reduce((sum, uses) => sum + (uses[index] ?? 0), 0));
    layers.push({ key: "rest", name: plural(rest.length, "other"), values });
  }
  return layers;
}

/** Each series holds its own layer and those below; the tallest is drawn first, the others over it. */
function stackedData(times: readonly number[], layers: readonly Layer[]): uPlot.AlignedData {
  const stacked: number[][] = [];
  for (const { values } of layers) {
    const below = stacked.at(-1);
    stacked.push(values.map((value, index) => value + (below?.[index] ?? 0)));
  }
  return [times.map((start) => start + BUCKET_S / 2), ...stacked.toReversed()];
}

/** Made for a number of layers and a theme; given another of either, it is made anew (by its key). */
interface PlotProps {
  times: readonly number[];
  layers: readonly Layer[];
  onPoint: (index: number | null) => void;
}

function Plot({ times, layers, onPoint }: PlotProps): ReactNode {
  const root = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data = stackedData(times, layers);
  const newest = useRef({ data, onPoint });
  const seriesCount = layers.length;

  useLayoutEffect(() => {
    newest.current = { data, onPoint };
  });
  useEffect(() => {
    const box = root.current!;
    const size = (): { width: number; height: number } => ({ width: Math.max(box.clientWidth, 120), height: box.clientHeight });
    const options = barOptions(seriesCount, BUCKETS * BUCKET_S, BUCKET_S, (index) => newest.current.onPoint(index));
    const made = new uPlot({ ...options, ...size() }, newest.current.data, box);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize(size()));
    observer.observe(box);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [seriesCount]);

  useEffect(() => {
    plot.current?.setData(data);
  });
  return <div className="chart-plot" ref={root} onPointerLeave={() => onPoint(null)} />;
}

/** Changes with the page's colours, which a canvas has to be told. */
function useTheme(): number {
  const [times, setTimes] = useState(0);
  const query = useMemo(() => media("(prefers-color-scheme: dark)"), []);
  useEffect(() => {
    const changed = (): void => setTimes((before) => before + 1);
    query.addEventListener("change", changed);
    document.addEventListener("themechange", changed);
    return () => {
      query.removeEventListener("change", changed);
      document.removeEventListener("themechange", changed);
    };
  }, [query]);
  return times;
}
