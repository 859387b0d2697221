/** What a client offers, whether it has a socket of its own (`WebSocketClient`) or shares one with other tabs (`SharedClient`). */

import type { AddressOptions } from "./address.js";
import type { ConnectionError } from "./closing.js";
import type { GetToken } from "./credentials.js";
import type { Unsubscribe } from "./emitter.js";
import type { Encoding } from "./encoding.js";
import type { Hold } from "./hold.js";
import type { Lifecycle } from "./lifecycle.js";
import type { SocketConstructor } from "./link.js";
import type { Cursor } from "./positions.js";
import type { FrameError } from "./parse.js";
import type { Answers, ClientFrame, ClientFrameOf, FrameOf, ServerFrame, ServerFrameType } from "./protocol.js";
import type { ConnectionState } from "./states.js";
import type { Refused } from "./subscriber.js";
import type { Backoff, Clock } from "./timing.js";

/** Anything but `resume`, which the client sends itself. */
export type SendableFrame = Exclude<ClientFrame, { type: "resume" }>;

/** How things stand. A new object each time something changed; safe to keep. */
export interface Snapshot {
  readonly state: ConnectionState;
  /** When the last frame came, in ms since the epoch. */
  readonly lastMessageAt: number | null;
  /** How long the last ping took to be answered. */
  readonly latencyMs: number | null;
  /** Stream → `seq` of the last event seen. */
  readonly positions: Readonly<Record<string, number>>;
  /** Attempts since the connection was lost; 0 while there is one. */
  readonly reconnectAttempt: number;
  /** When the next attempt comes, in ms since the epoch. */
  readonly nextRetryAt: number | null;
  /** Why there is no connection, or was none just now. */
  readonly error: ConnectionError | null;
  /** What the server said of this connection: scope, role, ids. */
  readonly connection: FrameOf<"connection"> | null;
  /** Clients that were subscribed to and are not followed, and why (`not_found`, `too_many_subscriptions`, …). */
  readonly refused: Refused;
  /** Events that came late, because they happened while there was no connection. */
  readonly replayed: number;
  /** Events that came twice and were dropped. */
  readonly doubles: number;
  /** How often events could not be resumed, and had to be fetched over REST. */
  readonly resyncs: number;
}

/** What can be listened to: every type of frame, and */
export type ClientEvents = { [T in ServerFrameType]: FrameOf<T> } & {
  /** every frame, after those for its own type; the events of a `batch` one by one. */
  "*": ServerFrame;
  /** what came and could not be read, and a token that could not be renewed. */
  problem: FrameError | Error;
};
export type ClientEventType = keyof ClientEvents;

export interface RealtimeClient {
  /** Connect, and stay connected. Resolves once connected; rejects with `ConnectionError` once nothing more will be tried. */
  connect(): Promise<void>;
  /** Stop, for good or until the next `connect()`, which resumes from where this one ended. */
  disconnect(): void;
  /** Call `handler` for each frame of `type`, over all reconnects. `connection` is repeated to who comes late. */
  on<T extends ClientEventType>(type: T, handler: (message: ClientEvents[T]) => void): Unsubscribe;
  /** Send a frame; say whether it went out. Subscriptions are remembered and sent with every connection: for them it is true. */
  send(frame: SendableFrame): boolean;
  /** Subscriptions of one part of the page, merged with all others on this connection. */
  hold(): Hold;
  /** Send a frame and wait for its answer. Rejects with `RequestError` (refused) or `ConnectionError` (no answer can come). */
  request<T extends keyof Answers>(frame: { type: T } & ClientFrameOf<T>): Promise<FrameOf<Answers[T]>>;
  /** Where to resume from later: as `resumeFrom` of another client. */
  readonly cursor: Cursor;
  readonly isConnected: boolean;
  readonly state: ConnectionState;
  getSnapshot(): Snapshot;
  /** Be told when `getSnapshot()` has changed: at once for states, once a second for what every message changes. */
  subscribe(listener: () => void): Unsubscribe;
}

export interface WebSocketClientOptions extends AddressOptions {
  /** Asked before each connection and before a token expires. Without it, the session cookie is the login. */
  getToken?: GetToken;
  /** Default `json`. The server may fall back to it. */
  encoding?: Encoding;
  /** How many times to try to reconnect; default 5, `Infinity` for ever. */
  maxReconnectAttempts?: number;
  /** The first delay in ms, doubled each time; default 3000: 3, 6, 12, 24 and 48 s, each ± 20 %. */
  reconnectDelayMs?: number;
  /** Another policy in place of the two above. */
  backoff?: Backoff;
  /** How often to ping, in ms; default 30000. */
  pingIntervalMs?: number;
  /** How long a ping may go without any answer, in ms; default 10000. */
  pongTimeoutMs?: number;
  /** How long the server may take to take us in, and then to answer a resume, in ms; default 15000. */
  connectTimeoutMs?: number;
  /** How long a request may go unanswered, in ms; default 10000. */
  requestTimeoutMs?: number;
  /** Where to resume from on the first connection, such as the position of a REST answer. */
  resumeFrom?: Cursor;
  /** In place of the global `WebSocket`: for Node below 22, and for tests. */
  webSocketImpl?: SocketConstructor;
  /** In place of the page's online, offline and visibility events; null for none. */
  lifecycle?: Lifecycle | null;
  /** In place of the system's clock and timers. */
  clock?: Clock;
}
