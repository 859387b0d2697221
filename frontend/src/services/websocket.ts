/**
 * The WebSocket client: one live connection to the portal, kept up and kept complete.
 *
 *     const ws = new WebSocketClient('/ws/engagement', clientId);
 *     await ws.connect();
 *     ws.on('engagement_update', (message) => console.log(message.data));
 *     ws.disconnect();
 *
 * This module decides what happens when; the others beside it know one thing each.
 */

import { addressOf } from "./address.js";
import type { ClientEvents, ClientEventType, RealtimeClient, SendableFrame } from "./client.js";
import type { Snapshot, WebSocketClientOptions } from "./client.js";
import { ConnectionError, verdictOn } from "./closing.js";
import { Comeback } from "./comeback.js";
import { Credentials, UnauthorizedError } from "./credentials.js";
import { Deferred } from "./deferred.js";
import { Emitter, type Unsubscribe } from "./emitter.js";
import { offers } from "./encoding.js";
import { Heartbeat } from "./heartbeat.js";
import { type Hold, holdOn } from "./hold.js";
import { sameRights } from "./identity.js";
import { IDLE } from "./idle.js";
import { Inbox, RESUME_REF } from "./inbox.js";
import { pageLifecycle } from "./lifecycle.js";
import { Link, type SocketConstructor } from "./link.js";
import type { Cursor } from "./positions.js";
import type { Answers, ClientFrame, ClientFrameOf, FrameOf, ServerFrame } from "./protocol.js";
import { listen } from "./listening.js";
import { Requests } from "./requests.js";
import { ConnectionState, isConnectedState, transition } from "./states.js";
import { Store } from "./store.js";
import { Subscriber } from "./subscriber.js";
import { clientsOf, type HeldWish, isSubscription, type SubscriptionFrame, Subscriptions } from "./subscriptions.js";
import { type Clock, exponentialBackoff, systemClock, Timer } from "./timing.js";
import { CloseCode } from "./vocabulary.js";

export type * from "./client.js";
export { ConnectionError } from "./closing.js";
export { UnauthorizedError } from "./credentials.js";
export { RequestError } from "./requests.js";
export { ConnectionState } from "./states.js";
export { exponentialBackoff } from "./timing.js";

const CATCH_UP_PING_MS = 1000; // so often the server is asked how far it has sent
const DOUBTFUL_SILENCE_MS = 5000; // after a wake-up, a line that was silent for so long is tried
const OFFLINE_PATIENCE_MS = 2000; // the browser says that it is offline: an answer may still come over loopback or a VPN
const SLOW_MS = 4000; // a server that does not answer by then is mentioned, while it is still waited for
const QUIET_MS = 1000; // listeners hear of what every message changes at most so often

export class WebSocketClient implements RealtimeClient {
  readonly #path: string;
  readonly #clientId: string | undefined;
  readonly #options: WebSocketClientOptions;
  readonly #clock: Clock;
  readonly #comeback: Comeback;
  readonly #events = new Emitter<ClientEvents>();
  readonly #inbox: Inbox;
  readonly #subscriptions: Subscriptions;
  readonly #subscriber: Subscriber;
  readonly #requests: Requests;
  readonly #credentials: Credentials;
  readonly #heartbeat: Heartbeat;
  /** How long the server may take: to take us in, then to answer a resume. */
  readonly #patience: Timer;
  readonly #patienceMs: number;
  readonly #retry: Timer;
  readonly #slow: Timer;
  readonly #catchUp: Timer;
  readonly #store: Store<Snapshot>;

  readonly getSnapshot: () => Snapshot;
  readonly subscribe: (listener: () => void) => Unsubscribe;

  #link: Link | null = null;
  /** The first connection since `connect()`: the later ones must be like it. */
  #first: FrameOf<"connection"> | null = null;
  #lastMessageAt: number | null = null;
  #latencyMs: number | null = null;
  /** Settled when connected, or when nothing more is tried; null while nobody wants a connection. */
  #connected: Deferred<void> | null = null;
  #stopLifecycle: Unsubscribe | null = null;
  /** The attempt that waits for a token. */
  #attempt: object | null = null;
  /** The server's last error frame: the reason for a close that may follow. */
  #lastError: FrameOf<"error"> | null = null;

  /** `path` is the route; with `clientId`, the general route `/ws/engagement` becomes that client's. Nothing is opened yet. */
  constructor(path: string, clientId?: string | null, options: WebSocketClientOptions = {}) {
    const clock = options.clock ?? systemClock;
    this.#path = path;
    this.#clientId = clientId ?? undefined;
    this.#options = options;
    this.#clock = clock;
    const { maxReconnectAttempts: attempts, reconnectDelayMs: firstMs } = options;
    this.#comeback = new Comeback(clock, options.backoff ?? exponentialBackoff({ attempts, firstMs }));
    this.#inbox = new Inbox(options.resumeFrom, this.#events, (frame) => this.#act(frame));
    this.#subscriptions = new Subscriptions(options.scope === "selected");
    this.#subscriber = new Subscriber(
      this.#subscriptions,
      clock,
      (frame) => this.#send(frame),
      () => this.#store.set({ refused: this.#subscriber.refused }),
    );
    this.#requests = new Requests(clock, options.requestTimeoutMs ?? 10_000);
    this.#credentials = new Credentials(clock, options.getToken);
    this.#patience = new Timer(clock);
    this.#patienceMs = options.connectTimeoutMs ?? 15_000;
    this.#retry = new Timer(clock);
    this.#slow = new Timer(clock);
    this.#catchUp = new Timer(clock);
    this.#heartbeat = new Heartbeat(clock, options.pingIntervalMs ?? 30_000, options.pongTimeoutMs ?? 10_000, {
      ping: () => this.#ping(),
      measured: (ms) => (this.#latencyMs = ms),
      dead: () => this.#drop("The server did not answer a ping."),
    });
    const traffic = () => ({ lastMessageAt: this.#lastMessageAt, latencyMs: this.#latencyMs, ...this.#inbox.figures });
    this.#store = new Store<Snapshot>({ ...IDLE, ...this.#inbox.figures }, traffic, clock, QUIET_MS);
    this.getSnapshot = this.#store.getSnapshot;
    this.subscribe = this.#store.subscribe;
  }

  get state(): ConnectionState {
    return this.getSnapshot().state;
  }

  get isConnected(): boolean {
    return isConnectedState(this.state);
  }

  get cursor(): Cursor {
    return this.#inbox.positions.cursor;
  }

  connect(): Promise<void> {
    if (this.#connected) {
      if (this.state === ConnectionState.Reconnecting) this.#open();
      return this.#connected.promise;
    }
    const { promise } = (this.#connected = new Deferred());
    this.#stopLifecycle ??= this.#watchPage();
    this.#comeback.reset();
    this.#open();
    return promise;
  }

  disconnect(): void {
    this.#stopWatching();
    this.#first = null;
    if (this.#connected) this.#close(new ConnectionError("disconnected", "Disconnected on purpose."));
  }

  on<T extends ClientEventType>(type: T, handler: (message: ClientEvents[T]) => void): Unsubscribe {
    return listen(this.#events, this, type, handler);
  }

  send(frame: SendableFrame): boolean {
    if (!isSubscription(frame)) return this.isConnected && this.#send(frame);
    this.#subscriptions.remember(frame);
    if (frame.ref == null || !this.isConnected) this.#subscriber.changed(clientsOf(frame));
    else this.#subscriber.ask(frame);
    return true;
  }

  hold(): Hold {
    return holdOn(this.#subscriptions, (clients) => this.#subscriber.changed(clients));
  }

  /** Hold what other tabs hold, in place of what they held before. */
  adopt(wishes: readonly HeldWish[]): void {
    this.#subscriptions.adopt("tabs", wishes);
    this.#subscriber.changed(wishes.map(({ clientId }) => clientId));
  }

  /** Send another tab's subscription, which is adopted already and wants its answer. */
  ask(frame: SubscriptionFrame): boolean {
    return this.isConnected && this.#subscriber.ask(frame);
  }

  request<T extends keyof Answers>(frame: { type: T } & ClientFrameOf<T>): Promise<FrameOf<Answers[T]>> {
    return this.#requests.make((ref) => this.isConnected && this.send({ ...frame, ref } as SendableFrame)) as Promise<
      FrameOf<Answers[T]>
    >;
  }

  // --- Opening a connection

  #open(): void {
    this.#retry.clear();
    this.#comeback.tried();
    this.#lastError = null;
    this.#enter(ConnectionState.Connecting, { nextRetryAt: null, reconnectAttempt: this.#comeback.attempts });
    this.#patience.set(() => this.#drop("The server could not be reached in time."), this.#patienceMs);
    this.#slow.set(() => this.#mentionSlow(), SLOW_MS);
    if (this.#credentials.canRefresh) void this.#dialWithToken();
    else this.#dial(undefined);
  }

  #mentionSlow(): void {
    const where = addressOf(this.#path, this.#clientId, this.#options).split("?")[0];
    const text = `No answer from ${where} yet. Is the address right, and does the proxy pass WebSockets on?`;
    if (!this.getSnapshot().error) this.#store.set({ error: new ConnectionError("slow", text) });
  }

  async #dialWithToken(): Promise<void> {
    const attempt = (this.#attempt = {});
    const isCurrent = (): boolean => this.#attempt === attempt;
    try {
      const token = await this.#credentials.token();
      if (isCurrent()) this.#dial(token);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (!isCurrent()) return;
      if (error instanceof UnauthorizedError) this.#close(new ConnectionError("unauthorized", message));
      else this.#lost(new ConnectionError("no_token", `There is no token: ${message}`));
    }
  }

  #dial(token: string | undefined): void {
    const { encoding = "json", webSocketImpl = globalThis.WebSocket as SocketConstructor | undefined } = this.#options;
    try {
      if (!webSocketImpl) throw new TypeError("There is no WebSocket here: pass one as webSocketImpl.");
      const socket = new webSocketImpl(addressOf(this.#path, this.#clientId, this.#options), offers(encoding, token));
      this.#link = new Link(socket, {
        received: (value) => this.#receive(value),
        undecodable: (error) => this.#events.emit("problem", error as Error),
        closed: (code, reason) => this.#closed(code, reason),
      });
    } catch (error) {
      this.#close(new ConnectionError("unusable", (error as Error).message)); // the address or the token is not one
    }
  }

  #welcome(frame: FrameOf<"connection">): void {
    this.#patience.clear();
    this.#slow.clear();
    this.#comeback.connected();
    this.#heartbeat.start();
    this.#credentials.accepted(frame.token_expires_at, frame.timestamp, this.#renewToken);
    const resumes = this.#inbox.positions.welcome(frame);
    this.#enter(resumes.length ? ConnectionState.CatchingUp : ConnectionState.Live, {
      connection: frame,
      error: null,
      reconnectAttempt: 0,
    });
    this.#subscriber.connected();
    for (const resume of resumes) this.#send({ ...resume, ref: RESUME_REF });
    if (resumes.length) this.#patience.set(() => this.#stopAwaiting(), this.#patienceMs);
    this.#connected?.resolve();
  }

  // --- While connected

  #receive(value: unknown): void {
    this.#heartbeat.heard();
    this.#inbox.receive(value);
    this.#checkCatchUp();
    this.#lastMessageAt = this.#clock.now();
    this.#store.touch();
  }

  /** Do what a frame asks; say whether listeners shall hear of it. */
  #act(frame: ServerFrame): boolean {
    this.#lastError = frame.type === "error" ? frame : null;
    if (frame.type === "connection" && !sameRights((this.#first ??= frame), frame)) {
      this.#close(new ConnectionError("user_changed", "Your role, MSP or client has changed: open the page again."));
      return false;
    }
    if (frame.type === "connection") this.#welcome(frame);
    else if (frame.type === "pong") this.#heartbeat.answered();
    else if (frame.type === "reconnect") this.#comeback.announce(frame.after_ms);
    else if (frame.type === "authenticated") {
      if (frame.expiring) void this.#renewToken();
      else this.#credentials.accepted(frame.token_expires_at, null, this.#renewToken);
    }
    this.#subscriber.settle(frame);
    this.#requests.settle(frame);
    return true;
  }

  #checkCatchUp(): void {
    if (this.state !== ConnectionState.CatchingUp) return;
    if (this.#inbox.positions.isSettled) this.#enter(ConnectionState.Live);
    else if (!this.#catchUp.isSet) this.#catchUp.set(() => this.#heartbeat.probe(), CATCH_UP_PING_MS);
  }

  #stopAwaiting(): void {
    this.#inbox.resyncAwaited();
    this.#checkCatchUp();
  }

  #send(frame: ClientFrame): boolean {
    return this.#link?.send(frame) ?? false;
  }

  #ping(): void {
    const now = new Date(this.#clock.now());
    this.#send({ type: "ping", timestamp: now.toISOString(), ...this.#inbox.positions.forPing() });
  }

  readonly #renewToken = async (): Promise<void> => {
    const link = this.#link;
    try {
      const token = await this.#credentials.token(true);
      if (token && this.#link === link) await this.request({ type: "authenticate", token });
    } catch (error) {
      this.#events.emit("problem", error as Error); // at its end the server closes with 4001, and a token is asked for again
    }
  };

  // --- Losing the connection, and coming back

  #closed(code: number, reason: string): void {
    const { code: kind = "closed", message = reason || `The connection was closed (${code}).` } = this.#lastError ?? {};
    const error = new ConnectionError(kind, message, code);
    const verdict = verdictOn(code, kind);
    if (verdict === "stop" || (verdict === "refresh" && !this.#credentials.canRefresh)) return this.#close(error);
    const isFirstRefusal = verdict === "refresh" && !this.#credentials.isStale;
    if (verdict === "refresh") this.#credentials.expire();
    this.#lost(error, isFirstRefusal ? 0 : undefined);
  }

  #drop(reason: string): void {
    this.#link?.drop();
    this.#lost(new ConnectionError("timeout", reason));
  }

  /** Come back in `delay` ms, or when the server or the backoff says; give up if that says so. */
  #lost(error: ConnectionError, delay?: number): void {
    const wait = delay ?? this.#comeback.wait();
    if (wait === null) return this.#end(error);
    if (this.isConnected) this.#connected = new Deferred();
    this.#cleanUp(error);
    if (error.closeCode === CloseCode.TRY_LATER) this.#comeback.announce(wait);
    const nextRetryAt = this.#clock.now() + wait;
    this.#enter(ConnectionState.Reconnecting, { error, reconnectAttempt: this.#comeback.attempts, nextRetryAt });
    this.#retry.set(() => this.#open(), wait);
  }

  /** Stop for good: by `disconnect()`, or because trying again is no use. */
  #close(error: ConnectionError): void {
    this.#stopWatching();
    this.#end(error);
  }

  /** Stop trying. As long as the page is watched, waking up starts anew. */
  #end(error: ConnectionError): void {
    this.#cleanUp(error);
    const isOurs = error.code === "disconnected";
    this.#enter(ConnectionState.Closed, { error: isOurs ? null : error, nextRetryAt: null, reconnectAttempt: 0 });
    this.#connected?.reject(error);
    this.#connected = null;
  }

  #cleanUp(error: ConnectionError): void {
    this.#link?.drop();
    this.#link = null;
    this.#attempt = null;
    this.#heartbeat.stop();
    this.#credentials.stop();
    this.#subscriber.disconnected();
    for (const timer of [this.#patience, this.#retry, this.#slow, this.#catchUp]) timer.clear();
    this.#requests.abandon(error);
  }

  #enter(state: ConnectionState, change: Partial<Snapshot> = {}): void {
    if (state !== ConnectionState.CatchingUp) this.#catchUp.clear();
    this.#store.set({ ...change, state: transition(this.state, state) });
  }

  // --- The page

  #watchPage(): Unsubscribe {
    const { lifecycle = pageLifecycle } = this.#options;
    const doubt = (): void => {
      if (this.isConnected) this.#heartbeat.probe(OFFLINE_PATIENCE_MS);
    };
    return lifecycle?.({ wake: () => this.#wake(), doubt }) ?? (() => undefined);
  }

  #stopWatching(): void {
    this.#stopLifecycle?.();
    this.#stopLifecycle = null;
  }

  /** Online or visible again: do not wait for the next attempt, unless the server asked for it. */
  #wake(): void {
    if (this.state === ConnectionState.Closed) void this.connect();
    else if (this.isConnected && this.#heartbeat.silentMs > DOUBTFUL_SILENCE_MS) this.#heartbeat.probe();
    else if (this.state === ConnectionState.Reconnecting && !this.#comeback.isHeld) {
      this.#comeback.reset();
      this.#open();
    }
  }
}
