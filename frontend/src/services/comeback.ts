/** When to come back: as the backoff says, or when the server said. */

import type { Backoff, Clock } from "./timing.js";

/** A connection that lived so long was a good one: the next loss starts counting attempts anew. */
const GOOD_UPTIME_MS = 5000;

export class Comeback {
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  #attempts = 0;
  #connectedAt: number | null = null;
  #announcedAt: number | null = null;

  constructor(clock: Clock, backoff: Backoff) {
    this.#clock = clock;
    this.#backoff = backoff;
  }

  /** Attempts since the last good connection. */
  get attempts(): number {
    return this.#attempts;
  }

  /** The server named the time: waking up does not cut the wait short. */
  get isHeld(): boolean {
    return this.#announcedAt !== null;
  }

  /** Count anew. */
  reset(): void {
    this.#attempts = 0;
  }

  /** An attempt begins: what was announced is over. */
  tried(): void {
    this.#announcedAt = null;
  }

  connected(): void {
    this.#connectedAt = this.#clock.now();
  }

  /** The server wants us back in `ms`, and no sooner. */
  announce(ms: number): void {
    this.#announcedAt = this.#clock.now() + ms;
  }

  /** How long to wait now that the connection is lost (or not come about), in ms; null to give up. */
  wait(): number | null {
    const now = this.#clock.now();
    if (this.#connectedAt !== null && now - this.#connectedAt >= GOOD_UPTIME_MS) this.#attempts = 0;
    this.#connectedAt = null;
    if (this.#announcedAt !== null) return Math.max(this.#announcedAt - now, 0);
    this.#attempts += 1;
    return this.#backoff(this.#attempts);
  }
}
