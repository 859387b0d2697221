/** The page's connection. The session's cookie is the login. */

import type { RealtimeClient } from "../../services/client.js";
import type { Cursor } from "../../services/positions.js";
import { exponentialBackoff } from "../../services/timing.js";
import { WebSocketClient } from "../../services/websocket.js";
import { API } from "./rest.js";
import { observe } from "./serverClock.js";
import { pageIdentity, startOverIfOther } from "./user.js";

/** Often enough that the latency shown is that of now. */
const PING_MS = 10_000;
/** A page that somebody looks at does not give up. */
const BACKOFF = { attempts: Infinity, firstMs: 3000, maxMs: 30_000 };

/** Connect from `cursor` on: to one client's stream, or to all that the visitor sees. */
export function connect(cursor: Cursor, clientId?: string): RealtimeClient {
  const client = new WebSocketClient(`${API}/ws/engagement`, clientId, {
    resumeFrom: cursor,
    pingIntervalMs: PING_MS,
    backoff: exponentialBackoff(BACKOFF),
    ...pageIdentity(),
  });
  startOverIfOther(client);
  client.on("connection", ({ timestamp }) => observe(timestamp));
  client.on("pong", ({ server_time }) => observe(server_time));
  client.on("problem", reportError);
  client.connect().catch(() => undefined); // its state tells, and the page shows that
  return client;
}
