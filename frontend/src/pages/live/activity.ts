/**
 * Uses over the last minutes, in buckets, by key: an application, an agent, a client.
 *
 * Starts from counts that the server read at a moment (`load`), and goes on with events. An event from before that moment is in the
 * counts already, so it is left out; events that come while the counts are on their way are kept, and counted after.
 */

export const BUCKET_S = 5;
export const BUCKETS = 60;

/** Seconds since the epoch, and uses in that second. */
export type Counts = readonly (readonly [second: number, uses: number])[];

interface Use {
  key: string;
  atMs: number;
  uses: number;
}

export class Activity {
  readonly #width: number;
  readonly #length: number;
  #buckets = new Map<string, Map<number, number>>();
  #untilMs = -Infinity;
  #waiting: Use[] | null = null;

  /** `length` buckets of `width` seconds. */
  constructor(width = BUCKET_S, length = BUCKETS) {
    this.#width = width;
    this.#length = length;
  }

  /** Counts were asked for: keep what comes until they are here. */
  expect(): void {
    this.#waiting ??= [];
  }

  /** Begin anew with the counts of each key, read by the server at `until` (ISO 8601). */
  load(until: string, counts: Iterable<readonly [key: string, counts: Counts]>): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    this.#untilMs = Date.parse(until);
    this.#buckets = new Map();
    for (const [key, seconds] of counts) for (const [second, uses] of seconds) this.#count(key, second, uses);
    for (const { key, atMs, uses } of waiting) this.add(key, atMs, uses);
  }

  /** Count `uses` of an event from `atMs`. Corrections, which take uses away, do not show in a chart of what happened. */
  add(key: string, atMs: number, uses: number): void {
    if (uses <= 0 || Number.isNaN(atMs)) return;
    this.#waiting?.push({ key, atMs, uses });
    if (atMs > this.#untilMs) this.#count(key, Math.floor(atMs / 1000), uses);
  }

  /** The starts of the buckets up to `nowMs`, in seconds since the epoch, oldest first. */
  starts(nowMs: number): number[] {
    const last = this.#bucket(Math.floor(nowMs / 1000));
    return Array.from({ length: this.#length }, (_, index) => last - (this.#length - 1 - index) * this.#width);
  }

  /** The uses in each of these buckets: of one key, or of all. */
  series(nowMs: number, key?: string): number[] {
    const found = key === undefined ? [...this.#buckets.values()] : [this.#buckets.get(key)];
    return this.starts(nowMs).map((start) => found.reduce((sum, buckets) => sum + (buckets?.get(start) ?? 0), 0));
  }

  /** The uses in the last `seconds`, to the bucket: of one key, or of all. */
  sum(nowMs: number, seconds: number, key?: string): number {
    return this.series(nowMs, key)
      .slice(-Math.ceil(seconds / this.#width))
      .reduce((sum, uses) => sum + uses, 0);
  }

  /** The keys that have uses, those with the most first. */
  keys(nowMs: number): string[] {
    const sums = [...this.#buckets.keys()].map((key) => [key, this.sum(nowMs, this.#length * this.#width, key)] as const);
    return sums
      .filter(([, uses]) => uses > 0)
      .sort(([a, left], [b, right]) => right - left || a.localeCompare(b))
      .map(([key]) => key);
  }

  #bucket(second: number): number {
    return second - (second % this.#width);
  }

  #count(key: string, second: number, uses: number): void {
    const bucket = this.#bucket(second);
    let buckets = this.#buckets.get(key);
    if (!buckets) this.#buckets.set(key, (buckets = new Map()));
    if (!buckets.has(bucket)) for (const old of buckets.keys()) if (old <= bucket - this.#length * this.#width) buckets.delete(old);
    buckets.set(bucket, (buckets.get(bucket) ?? 0) + uses);
  }
}
