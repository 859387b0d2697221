/** The server's end of a socket of the fake server, and the browser's. */

import { isObject, mismatch, type Shape } from "../services/check.js";
import { clientsOf } from "../services/subscriptions.js";
import type { SocketLike } from "../services/link.js";
import { type ClientFrame, clientShapes, type EventFrame, type ServerFrame } from "../services/protocol.js";
import { PROTOCOL, type Severity, SEVERITIES, type Topic } from "../services/vocabulary.js";
import { encodeMsgpack } from "./encodeMsgpack.js";
import type { FakeServer } from "./fakeServer.js";

const CONNECTING = 0;
const OPEN = 1;
const CLOSED = 3;
const EVENT_TOPICS: readonly Topic[] = ["engagement_update", "interaction_update", "alert"];

interface Filter {
  topics: readonly Topic[];
  minSeverity: Severity | null;
}

/** One connection, from its opening on. What the client sees of it is `socket`. */
export class FakeConnection {
  readonly url: URL;
  /** The subprotocol the server chose. */
  readonly protocol: string;
  /** From the `bearer.` subprotocol, or the query. */
  readonly token: string | null;
  /** What the client sent, in order. */
  readonly received: ClientFrame[] = [];
  readonly socket: FakeSocket;
  /** While true, the client's frames are noted and never answered. */
  isSilent = false;
  /** Types of frames that are noted and never answered. */
  readonly ignores = new Set<ClientFrame["type"]>();
  /** How the client closed, once it has. */
  closedByClient: { code: number | undefined } | null = null;

  readonly #server: FakeServer;
  readonly #streams = new Set<string>();
  /** By client; null: all that is followed. */
  readonly #filters = new Map<string | null, Filter>();
  #tokens: number | undefined;
  #filledAt = Date.now();
  #malformed = 0;
  #sending: Promise<void> = Promise.resolve();

  constructor(server: FakeServer, url: string, protocols: readonly string[]) {
    this.#server = server;
    this.url = new URL(url);
    this.protocol = protocols.find((offer) => offer.startsWith(PROTOCOL)) ?? "";
    const bearer = protocols.find((offer) => offer.startsWith("bearer."));
    this.token = bearer?.slice("bearer.".length) ?? this.url.searchParams.get("token");
    this.socket = new FakeSocket(this, this.protocol);
  }

  get isOpen(): boolean {
    return this.socket.readyState === OPEN;
  }

  /** The streams this connection follows. */
  get streams(): string[] {
    return [...this.#streams];
  }

  /** The frames of one type that the client sent. */
  receivedOf<T extends ClientFrame["type"]>(type: T): Extract<ClientFrame, { type: T }>[] {
    return this.received.filter((frame): frame is Extract<ClientFrame, { type: T }> => frame.type === type);
  }

  /** Accept the connection: open the socket and send the first frame. */
  accept(): void {
    const { scope, msp_id, client_id, user_role } = this.#server.viewer;
    const chosen =
      /\/ws\/client\/([^/]+)\/engagement$/.exec(this.url.pathname)?.[1] ?? (scope === "client" ? client_id : null);
    if (chosen) this.#streams.add(`client.${chosen}`);
    else if (this.url.searchParams.get("scope") !== "selected") this.#streams.add(`msp.${msp_id}`);
    this.socket.open();
    this.send({
      type: "connection",
      status: "connected",
      message: "Connected.",
      scope: chosen ? "client" : "msp",
      user_role,
      ...(scope === "msp" && msp_id !== null && { msp_id }),
      ...(chosen !== null && { client_id: chosen }),
      connection_id: `connection-${this.#server.connections.length}`,
      positions: this.positions(),
      epoch: this.#server.epoch,
      token_expires_at: this.#server.tokenExpiresAt(),
      heartbeat_seconds: 30,
      protocol: this.protocol || PROTOCOL,
      timestamp: this.#server.timestamp(),
    });
  }

  /** Send a frame in the connection's encoding. */
  send(frame: ServerFrame): void {
    this.sendRaw(frame);
  }

  /** Send any value, the protocol's or not. */
  sendRaw(value: unknown): void {
    if (this.protocol.endsWith("+msgpack")) this.socket.deliver(encodeMsgpack(value).buffer);
    else if (this.protocol.endsWith("+deflate") && JSON.stringify(value).length >= this.#server.deflateFrom) {
      const compressed = deflate(JSON.stringify(value));
      this.#sending = this.#sending.then(async () => this.socket.deliver(await compressed));
    } else this.sendText(JSON.stringify(value));
  }

  /** Send text as it is. */
  sendText(text: string): void {
    if (!this.protocol.endsWith("+deflate")) this.socket.deliver(text);
    else this.#sending = this.#sending.then(() => this.socket.deliver(text));
  }

  /** Send the events that this connection's filter lets through; more than one as a batch, to a client that asked for it. */
  sendEvents(events: readonly EventFrame[]): void {
    const wanted = events.filter((event) => this.#wants(event));
    if (wanted.length > 1 && this.url.searchParams.get("batch") === "1") this.send({ type: "batch", messages: wanted });
    else wanted.forEach((event) => this.send(event));
  }

  /** Close with a code, after everything sent so far. */
  close(code = 1000, reason = ""): void {
    if (this.protocol.endsWith("+deflate")) this.#sending = this.#sending.then(() => this.socket.end(code, reason));
    else this.socket.end(code, reason);
  }

  /** Break the line: the client sees 1006. */
  break(): void {
    this.socket.end(1006, "");
  }

  positions(): Record<string, number> {
    return Object.fromEntries(this.streams.map((stream) => [stream, this.#server.head(stream)]));
  }

  /** What the client sent arrives. */
  receive(text: string): void {
    const frame: unknown = JSON.parse(text);
    const problem = wrongWith(frame) ?? this.#server.objectsTo(frame as ClientFrame);
    if (problem) return this.#refuseMalformed(problem, frame);
    if (this.#isLimited()) {
      const retry_after_ms = Math.ceil(1000 / this.#server.rate.perSecond);
      return this.send({ type: "error", code: "rate_limited", message: "Too fast.", retry_after_ms, ref: refOf(frame) });
    }
    this.received.push(frame as ClientFrame);
    if (!this.isSilent && !this.ignores.has((frame as ClientFrame).type)) this.#answer(frame as ClientFrame);
  }

  #refuseMalformed(message: string, frame: unknown): void {
    this.send({ type: "error", code: "invalid_message", message, ref: refOf(frame) });
    this.#malformed += 1;
    if (this.#malformed < this.#server.maxMalformed) return;
    this.send({ type: "error", code: "too_many_errors", message: "Too many bad frames: mend the client." });
    this.close(1008, "too_many_errors");
  }

  #answer(frame: ClientFrame): void {
    const { ref } = frame;
    switch (frame.type) {
      case "ping":
        return this.send({
          type: "pong",
          timestamp: frame.timestamp ?? null,
          server_time: this.#server.timestamp(),
          positions: this.positions(),
          ref,
        });
      case "subscribe":
        for (const clientId of clientsOf(frame)) this.#subscribe(clientId || null, frame, ref);
        return;
      case "unsubscribe":
        for (const clientId of clientsOf(frame)) this.#unsubscribe(clientId || null, frame.topics ?? null, ref);
        return;
      case "resume":
        if (frame.positions === "last") return;
        for (const [stream, seq] of Object.entries(frame.positions))
          this.#resume(stream, seq, frame.epoch ?? null, ref);
        return;
      case "authenticate":
        return this.send(
          this.#server.accepts(frame.token) === true
            ? { type: "authenticated", token_expires_at: this.#server.tokenExpiresAt(), ref }
            : { type: "error", code: "invalid_token", message: "The token does not hold.", ref },
        );
      case "request_update":
        return this.send(this.#server.snapshot(frame.client_id ?? this.#server.viewer.client_id, this.streams[0], ref));
      case "acknowledge":
        return this.send({
          type: "acknowledged",
          alert_id: frame.alert_id,
          acknowledged_by: this.#server.viewer.user_role,
          acknowledged_at: this.#server.timestamp(),
          ref,
        });
    }
  }

  #subscribe(
    clientId: string | null,
    wanted: { topics?: Topic[] | null; min_severity?: Severity | null },
    ref: ServerFrame["ref"],
  ): void {
    const refusal = clientId === null ? null : this.#refusalOf(clientId);
    if (refusal) return this.send({ type: "error", code: refusal, message: "Not followed.", client_id: clientId, ref });
    this.#filters.set(clientId, { topics: wanted.topics ?? EVENT_TOPICS, minSeverity: wanted.min_severity ?? null });
    const filter = this.filterOf(clientId);
    const covering = `msp.${this.#server.viewer.msp_id}`;
    const stream = clientId && !this.#streams.has(covering) ? `client.${clientId}` : (this.streams[0] ?? covering);
    if (clientId) this.#streams.add(stream);
    this.send({
      type: "subscribed",
      client_id: clientId,
      topics: [...filter.topics],
      min_severity: filter.minSeverity,
      stream,
      seq: this.#server.head(stream),
      ref,
    });
  }

  #unsubscribe(clientId: string | null, topics: readonly Topic[] | null, ref: ServerFrame["ref"]): void {
    const { topics: before, minSeverity } = this.filterOf(clientId);
    const left = topics ? before.filter((topic) => !topics.includes(topic)) : [];
    this.#filters.set(clientId, { topics: left, minSeverity });
    if (!topics) this.#streams.delete(`client.${clientId}`);
    this.send({ type: "unsubscribed", client_id: clientId, topics: left, ref });
  }

  #refusalOf(clientId: string): string | null {
    const { unknown, maxSubscriptions } = this.#server;
    if (unknown.has(clientId)) return "not_found";
    const others = [...this.#filters].filter(([other, { topics }]) => other !== null && other !== clientId && topics.length > 0);
    return others.length >= maxSubscriptions ? "too_many_subscriptions" : null;
  }

  /** What this connection lets through of a client. */
  filterOf(clientId: string | null): Filter {
    return this.#filters.get(clientId) ?? this.#filters.get(null) ?? { topics: EVENT_TOPICS, minSeverity: null };
  }

  /** Whether a frame is one too many: the real server's bucket, in small. */
  #isLimited(): boolean {
    const { burst, perSecond } = this.#server.rate;
    const now = Date.now();
    this.#tokens = Math.min(burst, (this.#tokens ?? burst) + ((now - this.#filledAt) * perSecond) / 1000);
    this.#filledAt = now;
    if (this.#tokens < 1) return true;
    this.#tokens -= 1;
    return false;
  }

  #resume(stream: string, from: number, epoch: string | null, ref: ServerFrame["ref"]): void {
    const { epoch: current } = this.#server;
    const to = this.#server.head(stream);
    const reason = !this.#streams.has(stream)
      ? "unknown"
      : epoch !== null && epoch !== current
        ? "epoch"
        : from > to
          ? "ahead"
          : to - from > this.#server.backlog
            ? "backlog"
            : null;
    if (reason) return this.send({ type: "resync", stream, reason, seq: to, epoch: current, ref });
    const missed = this.#server.after(stream, from);
    this.send({ type: "resumed", stream, from, to, count: missed.length, ref });
    this.sendEvents(missed);
  }

  #wants(event: EventFrame): boolean {
    const { topics, minSeverity } = this.filterOf(event.client_id);
    if (!topics.includes(event.type)) return false;
    if (event.type !== "alert" || !minSeverity) return true;
    return SEVERITIES.indexOf(event.data.severity ?? "medium") >= SEVERITIES.indexOf(minSeverity);
  }
}

/** What a client gets in place of a browser's `WebSocket`. */
export class FakeSocket implements SocketLike {
  binaryType = "blob";
  readyState = CONNECTING;
  readonly protocol: string;
  onmessage: SocketLike["onmessage"] = null;
  onclose: SocketLike["onclose"] = null;
  onerror: SocketLike["onerror"] = null;
  readonly #connection: FakeConnection;

  constructor(connection: FakeConnection, protocol: string) {
    this.#connection = connection;
    this.protocol = protocol;
  }

  send(data: string): void {
    if (this.readyState !== OPEN) throw new Error("The socket is not open.");
    queueMicrotask(() => this.#connection.receive(data));
  }

  close(code?: number): void {
    if (this.readyState === CLOSED) return;
    this.#connection.closedByClient = { code };
    this.end(code ?? 1005, "");
  }

  open(): void {
    this.readyState = OPEN;
  }

  deliver(data: string | ArrayBuffer): void {
    queueMicrotask(() => {
      if (this.readyState === OPEN) this.onmessage?.({ data });
    });
  }

  end(code: number, reason: string): void {
    queueMicrotask(() => {
      if (this.readyState === CLOSED) return;
      this.readyState = CLOSED;
      this.onclose?.({ code, reason });
    });
  }
}

/** What is wrong with a client's frame, or null. */
function wrongWith(frame: unknown): string | null {
  if (!isObject(frame)) return "The frame is not an object.";
  const { type, ...fields } = frame;
  if (typeof type !== "string" || !Object.hasOwn(clientShapes, type))
    return `There is no client frame of type ${String(type)}.`;
  const shape: Shape = clientShapes[type as keyof typeof clientShapes];
  const extra = Object.keys(fields).find((key) => !(key in shape));
  return extra
    ? `${type} has no field ${extra}.`
    : ((field) => (field ? `${type}.${field} is wrong.` : null))(mismatch(shape, fields));
}

const refOf = (frame: unknown): string | null => (isObject(frame) && typeof frame.ref === "string" ? frame.ref : null);

async function deflate(text: string): Promise<ArrayBuffer> {
  const stream = new CompressionStream("deflate");
  const writer = stream.writable.getWriter();
  const [bytes] = await Promise.all([
    new Response(stream.readable).arrayBuffer(),
    writer.write(new TextEncoder().encode(text)),
    writer.close(),
  ]);
  return bytes;
}
