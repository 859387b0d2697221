export * from "./invalidation.js";
export * from "./pool.js";
export * from "./presence.js";
export * from "./queryKeys.js";
export * from "./RealtimeProvider.js";
export * from "./useWebSocket.js";
