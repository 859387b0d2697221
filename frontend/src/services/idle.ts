import type { Snapshot } from "./client.js";
import { ConnectionState } from "./states.js";

/** How things stand before anything happened. */
export const IDLE: Omit<Snapshot, "positions" | "replayed" | "doubles" | "resyncs"> = {
  state: ConnectionState.Idle,
  lastMessageAt: null,
  latencyMs: null,
  reconnectAttempt: 0,
  nextRetryAt: null,
  error: null,
  connection: null,
  refused: {},
};
