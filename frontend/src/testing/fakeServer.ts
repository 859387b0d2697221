/**
 * A portal's server for tests: no network, no timers of its own, the real protocol.
 *
 *     const server = new FakeServer();
 *     const ws = new WebSocketClient('/ws/engagement', null, server.clientOptions);
 *     await ws.connect();
 *     server.alert('client-1', { severity: 'high', details: 'A key was pasted into a prompt' });
 *
 * It keeps streams with positions, so a client that was away can resume. Frames arrive in microtasks: `await server.settled()`.
 */

import type { WebSocketClientOptions } from "../services/client.js";
import type { SocketConstructor } from "../services/link.js";
import type {
  AlertData,
  ClientFrame,
  EngagementData,
  EventFrame,
  EventType,
  FrameOf,
  InteractionData,
  ServerFrame,
} from "../services/protocol.js";
import { FakeConnection, FakeSocket } from "./fakeConnection.js";

export { FakeConnection, FakeSocket };

/** Who is connected, as the server sees it. */
export interface FakeViewer {
  scope: "msp" | "client";
  user_role: string;
  msp_id: string | null;
  client_id: string | null;
  /** Where it is given, connections that ask for another user are refused. */
  user_id?: string;
}

/** Why a connection or a token is refused: an error frame, then a close code. */
export interface Refusal {
  closeCode: number;
  code: string;
  message: string;
}

export interface FakeServerOptions {
  viewer?: Partial<FakeViewer>;
  /** Which life of the log this is. */
  epoch?: string;
  /** How many missed events are sent; more mean `resync`. */
  backlog?: number;
  /** How long tokens last, in ms; by default for ever. */
  tokenLifeMs?: number;
  /** Frames from so many characters on are compressed, where the client asked for it. */
  deflateFrom?: number;
  /** Whether a token (null: none) is taken. By default every one is. */
  accepts?: (token: string | null) => true | Refusal;
}

type EventData<T extends EventType> = Extract<EventFrame, { type: T }>["data"];

export class FakeServer {
  readonly viewer: FakeViewer;
  /** All connections there ever were, the newest last. */
  readonly connections: FakeConnection[] = [];
  /** While true, nobody gets through: sockets end with 1006. */
  isDown = false;
  /** While true, sockets neither open nor fail. */
  isUnreachable = false;
  /** While set, connections are refused with it. */
  refusal: Refusal | null = null;
  epoch: string;
  backlog: number;
  deflateFrom: number;
  tokenLifeMs: number | null;
  /** Clients that are not there, or not this viewer's. */
  readonly unknown = new Set<string>();
  maxSubscriptions = 200;
  /** Frames that a connection may send. */
  rate = { burst: 250, perSecond: 10 };
  /** Malformed frames after which a connection is closed. */
  maxMalformed = 20;
  /** What is wrong with a well-formed frame for this server; null if nothing: an older one knows fewer fields. */
  objectsTo: (frame: ClientFrame) => string | null = () => null;
  accepts: (token: string | null) => true | Refusal;

  readonly #streams = new Map<string, EventFrame[]>();
  /** Positions at which streams began, where that is not 0. */
  readonly #starts = new Map<string, number>();

  constructor(options: FakeServerOptions = {}) {
    this.viewer = { scope: "msp", user_role: "msp_admin", msp_id: "msp-1", client_id: null, ...options.viewer };
    this.epoch = options.epoch ?? "epoch-1";
    this.backlog = options.backlog ?? 1000;
    this.deflateFrom = options.deflateFrom ?? 0;
    this.tokenLifeMs = options.tokenLifeMs ?? null;
    this.accepts = options.accepts ?? (() => true);
  }

  /** To be passed as `webSocketImpl`, or put in place of the global `WebSocket`. */
  readonly WebSocket: SocketConstructor = ((server: FakeServer) =>
    class {
      constructor(url: string, protocols: string[] = []) {
        return server.#connect(url, protocols) as this & FakeSocket;
      }
    })(this) as unknown as SocketConstructor;

  /** Options that lead a client here. */
  get clientOptions(): Pick<WebSocketClientOptions, "webSocketImpl" | "baseUrl"> {
    return { webSocketImpl: this.WebSocket, baseUrl: "http://portal.test" };
  }

  /** The newest connection. Throws if there is none. */
  get connection(): FakeConnection {
    const newest = this.connections.at(-1);
    if (!newest) throw new Error("Nobody has connected.");
    return newest;
  }

  get open(): FakeConnection[] {
    return this.connections.filter((connection) => connection.isOpen);
  }

  // --- What happens to clients

  alert(clientId: string, data: AlertData): void {
    this.emit("alert", clientId, data);
  }

  interaction(clientId: string, data: InteractionData): void {
    this.emit("interaction_update", clientId, data);
  }

  engagement(clientId: string, data: EngagementData): void {
    this.emit("engagement_update", clientId, data);
  }

  /** Something happened to a client: it gets its place in the client's and the MSP's stream, and goes out. */
  emit<T extends EventType>(type: T, clientId: string, data: EventData<T>): void {
    this.emitAll([{ type, clientId, data }]);
  }

  /** Several events at once: one batch, for clients that asked for batches. */
  emitAll(events: readonly { type: EventType; clientId: string; data: EventData<EventType> }[]): void {
    const placed = new Map<string, EventFrame[]>();
    for (const { type, clientId, data } of events) {
      for (const stream of [`client.${clientId}`, `msp.${this.viewer.msp_id}`]) {
        const frame = {
          type,
          client_id: clientId,
          stream,
          seq: this.head(stream) + 1,
          timestamp: this.timestamp(),
          data,
        } as EventFrame;
        this.#stream(stream).push(frame);
        placed.set(stream, [...(placed.get(stream) ?? []), frame]);
      }
    }
    for (const connection of this.open) {
      for (const stream of connection.streams) connection.sendEvents(placed.get(stream) ?? []);
    }
  }

  /** Send a frame to all who are connected. */
  broadcast(frame: ServerFrame): void {
    this.open.forEach((connection) => connection.send(frame));
  }

  /** Begin a stream at a position: as if so many events were long gone. */
  startStream(stream: string, position: number): void {
    this.#starts.set(stream, position);
  }

  /** Everything is lost, and the log begins anew. */
  resetLog(epoch: string): void {
    this.epoch = epoch;
    this.#streams.clear();
    this.#starts.clear();
  }

  /** Close all connections, with a code. */
  closeAll(code: number, reason = ""): void {
    this.open.forEach((connection) => connection.close(code, reason));
  }

  /** Stop: break all lines and let nobody in, until `isDown` is false again. */
  goDown(): void {
    this.isDown = true;
    this.open.forEach((connection) => connection.break());
  }

  /** Wait until everything that is under way has arrived. */
  async settled(): Promise<void> {
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
  }

  // --- What connections ask

  head(stream: string): number {
    return (this.#starts.get(stream) ?? 0) + this.#stream(stream).length;
  }

  after(stream: string, seq: number): EventFrame[] {
    return this.#stream(stream).filter((frame) => (frame.seq ?? 0) > seq);
  }

  snapshot(clientId: string | null, stream: string | undefined, ref: ServerFrame["ref"]): FrameOf<"engagement_update"> {
    const data: EngagementData = { departments: [], applications: [], agents: [] };
    const place = stream ? { stream, seq: this.head(stream) } : {};
    return {
      type: "engagement_update",
      client_id: clientId ?? "",
      timestamp: this.timestamp(),
      data,
      snapshot: true,
      ref,
      ...place,
    };
  }

  timestamp(): string {
    return new Date(Date.now()).toISOString();
  }

  tokenExpiresAt(): string | null {
    return this.tokenLifeMs === null ? null : new Date(Date.now() + this.tokenLifeMs).toISOString();
  }

  #stream(name: string): EventFrame[] {
    const events = this.#streams.get(name) ?? [];
    this.#streams.set(name, events);
    return events;
  }

  #connect(url: string, protocols: readonly string[]): FakeSocket {
    const connection = new FakeConnection(this, url, protocols);
    this.connections.push(connection);
    queueMicrotask(() => this.#admit(connection));
    return connection.socket;
  }

  /** As the real server: accept first, then say why not, then close. */
  #admit(connection: FakeConnection): void {
    if (this.isUnreachable || connection.closedByClient) return;
    if (this.isDown) return connection.break();
    const accepted = this.accepts(connection.token);
    const wrongUser = { closeCode: 1008, code: "user_changed", message: "Somebody else is signed in now." };
    const expected = connection.url.searchParams.get("user");
    const isOther = expected !== null && this.viewer.user_id !== undefined && expected !== this.viewer.user_id;
    const refusal = this.refusal ?? (accepted !== true ? accepted : isOther ? wrongUser : null);
    if (!refusal) return connection.accept();
    connection.socket.open();
    connection.send({ type: "error", code: refusal.code, message: refusal.message });
    connection.close(refusal.closeCode, refusal.message);
  }
}
