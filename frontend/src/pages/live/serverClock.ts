/** The server's time, as far as its messages told it: a visitor's clock may be off by minutes. */

let offsetMs = 0;

/** Take note of a time that the server has just written. */
export function observe(iso: string): void {
  const then = Date.parse(iso);
  if (!Number.isNaN(then)) offsetMs = then - Date.now();
}

/** Milliseconds since the epoch, by the server's clock. */
export const serverNow = (): number => Date.now() + offsetMs;

/** Pages notice a new day within so long after midnight, each at another moment: they shall not all ask at once. */
const SPREAD_MS = 10_000;
const lateMs = Math.random() * SPREAD_MS;

/** How often a page looks whether it shows yesterday's figures. */
export const DAY_CHECK_MS = 1000;

/** The day that the server counts by (UTC), as `2026-01-31`. It changes up to `SPREAD_MS` after midnight. */
export const serverDay = (): string => new Date(serverNow() - lateMs).toISOString().slice(0, 10);
