/** The states of a connection, and the ways between them. Everything else is a bug, and raises. */

export const ConnectionState = {
  /** Nobody has called `connect()` yet. */
  Idle: "idle",
  /** A socket is being opened, and the server's `connection` frame awaited. */
  Connecting: "connecting",
  /** Connected; what was missed is still coming in. */
  CatchingUp: "catchingUp",
  /** Connected, and up to date. */
  Live: "live",
  /** The connection is lost; the next attempt comes at `nextRetryAt`. */
  Reconnecting: "reconnecting",
  /** Over: by `disconnect()`, by the server's word, or after the last attempt. `connect()` begins anew. */
  Closed: "closed",
} as const;
export type ConnectionState = (typeof ConnectionState)[keyof typeof ConnectionState];

const ALLOWED: Record<ConnectionState, readonly ConnectionState[]> = {
  idle: ["connecting", "closed"],
  connecting: ["catchingUp", "live", "reconnecting", "closed"],
  catchingUp: ["live", "reconnecting", "closed"],
  live: ["reconnecting", "closed"],
  reconnecting: ["connecting", "closed"],
  closed: ["connecting"],
};

/** Return `next`, or throw if no way leads there from `current`. */
export function transition(current: ConnectionState, next: ConnectionState): ConnectionState {
  if (!ALLOWED[current].includes(next)) throw new Error(`A connection cannot go from ${current} to ${next}.`);
  return next;
}

export const isConnectedState = (state: ConnectionState): boolean => state === "live" || state === "catchingUp";
