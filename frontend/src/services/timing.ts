/** When things happen: the clock, and how long to wait before the next attempt. Both can be replaced. */

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  setTimeout(callback: () => void, ms: number): unknown;
  clearTimeout(handle: unknown): void;
}

/** Looked up at each call, so that fake timers work. */
export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (handle) => clearTimeout(handle as number),
};

/** Milliseconds to wait before reconnect attempt number `attempt` (from 1), or null to give up. */
export type Backoff = (attempt: number) => number | null;

export interface BackoffOptions {
  /** How many attempts before giving up; default 5, `Infinity` for never. */
  attempts?: number | undefined;
  /** The first delay in ms; default 3000. */
  firstMs?: number | undefined;
  /** By what each delay grows; default 2. */
  factor?: number;
  /** The longest delay in ms; default 48000. */
  maxMs?: number;
  /** Delays vary by this share, up or down, so that a thousand pages do not come back at once; default 0.2, 0 for none. */
  jitter?: number;
  /** A number from 0 to 1; default `Math.random`. */
  random?: () => number;
}

/** By default 5 attempts after 3, 6, 12, 24 and 48 s, each ± 20 %. */
export function exponentialBackoff(options: BackoffOptions = {}): Backoff {
  const { attempts = 5, firstMs = 3000, factor = 2, jitter = 0.2, random = Math.random } = options;
  const maxMs = Math.max(options.maxMs ?? 48_000, firstMs);
  return (attempt) =>
    attempt > attempts
      ? null
      : Math.round(Math.min(firstMs * factor ** (attempt - 1), maxMs) * (1 + jitter * (2 * random() - 1)));
}

/** One timer that can be set again and again. */
export class Timer {
  readonly #clock: Clock;
  #handle: unknown;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Call `callback` in `ms`, instead of whatever was set. Longer than 24 days is cut to that: timers hold no more. */
  set(callback: () => void, ms: number): void {
    this.clear();
    this.#handle = this.#clock.setTimeout(
      () => {
        this.#handle = undefined;
        callback();
      },
      Math.min(Math.max(ms, 0), 2 ** 31 - 1),
    );
  }

  clear(): void {
    if (this.#handle !== undefined) this.#clock.clearTimeout(this.#handle);
    this.#handle = undefined;
  }

  get isSet(): boolean {
    return this.#handle !== undefined;
  }
}
