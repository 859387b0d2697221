/** The server's time, as far as its messages told it: a visitor's clock may be off by minutes. */

let offsetMs = 0;

/** Take note of a time that the server has just written. */
export function observe(iso: string): void {
  const then = Date.parse(iso);
  if (!Number.isNaN(then)) offsetMs = then - Date.now();
}

/** Milliseconds since the epoch, by the server's clock. */
export const serverNow = (): number => Date.now() + offsetMs;
