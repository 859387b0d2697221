/** `@compliance-portal/realtime`: the client without React. */

export type * from "./services/client.js";
export type * from "./services/payloads.js";
export type * from "./services/protocol.js";
export { verdictOn } from "./services/closing.js";
export { FrameError, parseFrame } from "./services/parse.js";
export { createClient, SharedClient, type SharedClientOptions } from "./services/sharing.js";
export { isConnectedState } from "./services/states.js";
export { type Backoff, type BackoffOptions, type Clock } from "./services/timing.js";
export * from "./services/vocabulary.js";
export * from "./services/websocket.js";
