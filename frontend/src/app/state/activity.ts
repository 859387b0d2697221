/**
 * Uses over the last five minutes, by key (a client, an application, an agent), in buckets of five seconds.
 *
 * Begins with counts that the server read at a moment; an event from before that moment is in them already.
 */

export const BUCKET_S = 5;
export const BUCKETS = 60;
const SPAN_S = BUCKET_S * BUCKETS;

/** Seconds since the epoch, and uses in that second. */
export type Counts = readonly (readonly [second: number, uses: number])[];
/** Start of a bucket → uses. */
type Buckets = Readonly<Record<number, number>>;

export interface Activity {
  readonly untilMs: number;
  readonly byKey: Readonly<Record<string, Buckets>>;
}

export interface Use {
  key: string;
  atMs: number;
  uses: number;
}

const bucketOf = (second: number): number => second - (second % BUCKET_S);

/** The activity of counts that the server read at `until` (ISO 8601). */
export function activityOf(until: string, counts: Iterable<readonly [key: string, counts: Counts]>): Activity {
  const byKey: Record<string, Record<number, number>> = {};
  for (const [key, seconds] of counts) {
    const buckets = (byKey[key] ??= {});
    for (const [second, uses] of seconds) buckets[bucketOf(second)] = (buckets[bucketOf(second)] ?? 0) + uses;
  }
  return { untilMs: Date.parse(until), byKey };
}

/** Return the activity after `uses`. What takes uses away is a correction, and no activity. */
export function withUses(activity: Activity, uses: readonly Use[]): Activity {
  const counted = uses.filter(({ atMs, uses }) => uses > 0 && atMs > activity.untilMs);
  if (counted.length === 0) return activity;
  const byKey: Record<string, Record<number, number>> = { ...activity.byKey };
  const touched = new Set<string>();
  for (const { key, atMs, uses } of counted) {
    const bucket = bucketOf(Math.floor(atMs / 1000));
    if (!touched.has(key)) byKey[key] = recent(byKey[key] ?? {}, bucket);
    touched.add(key);
    const buckets = byKey[key]!;
    buckets[bucket] = (buckets[bucket] ?? 0) + uses;
  }
  return { ...activity, byKey };
}

const recent = (buckets: Buckets, newest: number): Record<number, number> =>
  Object.fromEntries(Object.entries(buckets).filter(([start]) => Number(start) > newest - SPAN_S));

/** The starts of the buckets up to `nowMs`, in seconds since the epoch, oldest first. */
export function starts(nowMs: number): number[] {
  const last = bucketOf(Math.floor(nowMs / 1000));
  return Array.from({ length: BUCKETS }, (_, index) => last - (BUCKETS - 1 - index) * BUCKET_S);
}

/** The uses in each of these buckets: of one key, or of all. */
export function series({ byKey }: Activity, nowMs: number, key?: string): number[] {
  const found = key === undefined ? Object.values(byKey) : [byKey[key] ?? {}];
  return starts(nowMs).map((start) => found.reduce((sum, buckets) => sum + (buckets[start] ?? 0), 0));
}

/** Uses per minute, over the last whole minute of buckets: of one key, or of all. */
export const perMinute = (activity: Activity, nowMs: number, key?: string): number =>
  series(activity, nowMs, key)
    .slice(-60 / BUCKET_S)
    .reduce((sum, uses) => sum + uses, 0);

/** The keys that were used in the last five minutes, the busiest first. */
export function busiest(activity: Activity, nowMs: number): string[] {
  return Object.keys(activity.byKey)
    .map((key) => [key, series(activity, nowMs, key).reduce((sum, uses) => sum + uses, 0)] as const)
    .filter(([, uses]) => uses > 0)
    .sort(([a, left], [b, right]) => right - left || (a < b ? -1 : 1))
    .map(([key]) => key);
}
