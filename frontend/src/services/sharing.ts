/**
 * Several tabs, one socket: the tab that holds a Web Lock has the connection, and tells the others by BroadcastChannel.
 *
 * Each tab keeps its own positions. When the leading tab goes, the browser passes the lock on, and the next one resumes from where
 * it is itself, so nothing is lost between them. Tabs that share a socket share its subscriptions.
 */

import { routeOf } from "./address.js";
import type {
  ClientEvents,
  ClientEventType,
  RealtimeClient,
  SendableFrame,
  Snapshot,
  WebSocketClientOptions,
} from "./client.js";
import { ConnectionError } from "./closing.js";
import { Deferred } from "./deferred.js";
import { Emitter, type Unsubscribe } from "./emitter.js";
import { type Hold, holdOn } from "./hold.js";
import { Inbox } from "./inbox.js";
import type { Cursor } from "./positions.js";
import type { Answers, ClientFrameOf, FrameOf, ServerFrame } from "./protocol.js";
import { listen } from "./listening.js";
import { Requests } from "./requests.js";
import { IDLE } from "./idle.js";
import { ConnectionState, isConnectedState } from "./states.js";
import { Store } from "./store.js";
import { type HeldWish, isSubscription, Subscriptions } from "./subscriptions.js";
import { systemClock } from "./timing.js";
import { WebSocketClient } from "./websocket.js";

export interface SharedClientOptions extends WebSocketClientOptions {
  /** Tabs with the same name, path and client share a socket. It must differ between users: their id will do. */
  shareAs: string;
}

type Status = Pick<
  Snapshot,
  "state" | "lastMessageAt" | "latencyMs" | "reconnectAttempt" | "nextRetryAt" | "connection" | "refused"
>;
type Told =
  | { kind: "hello" | "connect" }
  | { kind: "send"; frame: SendableFrame }
  | { kind: "frames"; frames: ServerFrame[] }
  | { kind: "wishes"; tab: string; wishes: HeldWish[] }
  | { kind: "status"; status: Status; error: ErrorFields | null; cursor: Cursor };
type ErrorFields = Pick<ConnectionError, "code" | "message" | "closeCode">;

export const canShare = (): boolean =>
  typeof BroadcastChannel === "function" && typeof navigator === "object" && "locks" in navigator && canOpenChannel();

/** A browser that blocks storage may have channels and refuse to open one. */
function canOpenChannel(): boolean {
  try {
    new BroadcastChannel("realtime:probe").close();
    return true;
  } catch {
    return false; // the answer itself: a socket of our own does the same
  }
}

/** A client that shares its socket with other tabs if `shareAs` is given and the browser can, else one of its own. */
export function createClient(
  path: string,
  clientId?: string | null,
  { shareAs, ...options }: Partial<SharedClientOptions> = {},
): RealtimeClient {
  if (shareAs === undefined || !canShare()) return new WebSocketClient(path, clientId, options);
  return new SharedClient(path, clientId, { ...options, shareAs });
}

/** Subscriptions are told by what is wished; only one that waits for an answer goes out by itself. */
const sendAs = (leader: WebSocketClient, frame: SendableFrame): boolean =>
  isSubscription(frame) ? leader.ask(frame) : leader.send(frame);

export class SharedClient implements RealtimeClient {
  readonly #name: string;
  readonly #makeClient: (cursor: Cursor | undefined) => WebSocketClient;
  readonly #events = new Emitter<ClientEvents>();
  readonly #inbox: Inbox;
  readonly #requests: Requests;
  readonly #subscriptions: Subscriptions;
  readonly #store: Store<Snapshot>;
  readonly getSnapshot: () => Snapshot;
  readonly subscribe: (listener: () => void) => Unsubscribe;

  /** Tells this tab from the others. */
  readonly #tab = Math.random().toString(36).slice(2);
  #channel: BroadcastChannel | null = null;
  #leaving: AbortController | null = null;
  /** The one client with a socket, while this tab leads. */
  #leader: WebSocketClient | null = null;
  #outgoing: ServerFrame[] = [];
  #connected: Deferred<void> | null = null;

  constructor(path: string, clientId: string | null | undefined, { shareAs, ...options }: SharedClientOptions) {
    const clock = options.clock ?? systemClock;
    this.#name = `realtime:${shareAs}:${routeOf(path, clientId ?? undefined)}:${options.scope ?? ""}:${options.rate ?? ""}`;
    this.#makeClient = (resumeFrom) => new WebSocketClient(path, clientId, { ...options, resumeFrom });
    this.#inbox = new Inbox(options.resumeFrom, this.#events, (frame) => {
      this.#requests.settle(frame);
      return true;
    });
    this.#requests = new Requests(clock, options.requestTimeoutMs ?? 10_000);
    this.#subscriptions = new Subscriptions(options.scope === "selected");
    this.#store = new Store<Snapshot>({ ...IDLE, ...this.#inbox.figures }, () => this.#inbox.figures, clock, 1000);
    this.getSnapshot = this.#store.getSnapshot;
    this.subscribe = this.#store.subscribe;
  }

  get state(): ConnectionState {
    return this.getSnapshot().state;
  }

  get isConnected(): boolean {
    return isConnectedState(this.state);
  }

  /** Whether this tab has the socket. */
  get isLeader(): boolean {
    return this.#leader !== null;
  }

  get cursor(): Cursor {
    return this.#inbox.positions.cursor;
  }

  connect(): Promise<void> {
    this.#connected ??= new Deferred();
    const { promise } = this.#connected;
    if (this.#leader) void this.#leader.connect();
    else if (this.#channel) this.#tell({ kind: "connect" });
    else this.#join();
    if (this.isConnected) this.#connected.resolve();
    return promise;
  }

  disconnect(): void {
    const leader = this.#leader;
    this.#leader = null; // from here on the others are not told: the next one to lead will
    leader?.disconnect();
    this.#leaving?.abort();
    this.#leaving = null;
    this.#channel?.close();
    this.#channel = null;
    if (this.#connected) this.#follow({ state: ConnectionState.Closed, nextRetryAt: null }, null);
  }

  on<T extends ClientEventType>(type: T, handler: (message: ClientEvents[T]) => void): Unsubscribe {
    return listen(this.#events, this, type, handler);
  }

  send(frame: SendableFrame): boolean {
    if (isSubscription(frame)) {
      this.#subscriptions.remember(frame);
      this.#wish();
      if (frame.ref == null) return true;
    }
    if (this.#leader) return sendAs(this.#leader, frame);
    this.#tell({ kind: "send", frame });
    return this.isConnected;
  }

  hold(): Hold {
    return holdOn(this.#subscriptions, () => this.#wish());
  }

  request<T extends keyof Answers>(frame: { type: T } & ClientFrameOf<T>): Promise<FrameOf<Answers[T]>> {
    const send = (ref: string): boolean => this.isConnected && this.send({ ...frame, ref } as SendableFrame);
    return this.#requests.make(send) as Promise<FrameOf<Answers[T]>>;
  }

  // --- Among tabs

  #join(): void {
    const channel = new BroadcastChannel(this.#name);
    this.#channel = channel;
    channel.onmessage = ({ data }: MessageEvent<Told>) => this.#hear(data);
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    this.#store.set({ state: ConnectionState.Connecting, error: null });
    this.#tell({ kind: "hello" });
    this.#wish();
    navigator.locks
      .request(this.#name, { signal }, () => (signal.aborted ? undefined : this.#lead(signal)))
      .catch((error: unknown) => {
        if (signal.aborted) return;
        this.#events.emit("problem", error as Error);
        if (!this.#leader) void this.#lead(signal); // locks are refused here: nobody else can lead, or be told to wait
      });
  }

  /** Tell the tab that leads, and those that may lead later, what this one subscribes to. */
  #wish(): void {
    const wishes = this.#subscriptions.held().filter(({ holder }) => !holder.includes("/")); // those with a slash are other tabs'
    this.#tell({ kind: "wishes", tab: this.#tab, wishes });
    this.#leader?.adopt(this.#subscriptions.held());
  }

  #tell(told: Told): void {
    this.#channel?.postMessage(told);
  }

  #hear(told: Told): void {
    switch (told.kind) {
      case "hello":
        if (this.#leader) this.#publish(this.#leader);
        this.#wish();
        break;
      case "wishes":
        this.#subscriptions.adopt(told.tab, told.wishes);
        this.#leader?.adopt(this.#subscriptions.held());
        break;
      case "connect":
        void this.#leader?.connect();
        break;
      case "send":
        if (this.#leader) sendAs(this.#leader, told.frame);
        break;
      case "frames":
        for (const frame of told.frames) this.#inbox.receive(frame);
        this.#store.touch();
        break;
      case "status":
        this.#adoptCursor(told.cursor);
        this.#follow(told.status, told.error);
        break;
    }
  }

  /** Lead until `signal` says to leave: the lock is held as long as the promise is open. */
  #lead(signal: AbortSignal): Promise<void> {
    const { positions, epoch } = this.cursor;
    const leader = this.#makeClient(Object.keys(positions).length ? { positions, epoch } : undefined);
    this.#leader = leader;
    leader.adopt(this.#subscriptions.held());
    leader.on("*", (frame) => this.#relay(frame));
    leader.on("problem", (problem) => this.#events.emit("problem", problem));
    leader.subscribe(() => this.#publish(leader));
    void leader.connect();
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
  }

  /** Hand a frame to this tab, and (with others of the same moment) to the others. */
  #relay(frame: ServerFrame): void {
    this.#inbox.receive(frame);
    if (this.#outgoing.push(frame) === 1) queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    if (this.#outgoing.length) this.#tell({ kind: "frames", frames: this.#outgoing });
    this.#outgoing = [];
  }

  #publish(leader: WebSocketClient): void {
    if (this.#leader !== leader) return;
    const { state, lastMessageAt, latencyMs, reconnectAttempt, nextRetryAt, connection, refused, error } = leader.getSnapshot();
    const status = { state, lastMessageAt, latencyMs, reconnectAttempt, nextRetryAt, connection, refused };
    const fields = error && { code: error.code, message: error.message, closeCode: error.closeCode };
    this.#adoptCursor(leader.cursor);
    this.#flush(); // so that nobody hears of positions before the events up to them
    this.#tell({
      kind: "status",
      status,
      error: fields,
      cursor: this.cursor,
    });
    this.#follow(status, fields);
  }

  /** Start where the leader is. What this tab was to resume and the leader has passed already is for REST to fetch. */
  #adoptCursor({ positions, epoch }: Cursor): void {
    const mine = this.#inbox.positions.toJSON();
    for (const [stream, seq] of Object.entries(positions)) {
      const place = { stream, seq, epoch: epoch ?? "" };
      if (mine[stream] === undefined) this.#inbox.positions.resync({ ...place, reason: "ahead" });
      else if (mine[stream] < seq && !this.#leader)
        this.#inbox.receive({ type: "resync", ...place, reason: "backlog" });
    }
  }

  #follow(status: Partial<Status>, error: ErrorFields | null): void {
    const problem = error && new ConnectionError(error.code, error.message, error.closeCode);
    this.#store.set({ ...status, error: problem });
    if (this.isConnected) this.#connected?.resolve();
    if (this.state !== ConnectionState.Closed) return;
    const reason = problem ?? new ConnectionError("disconnected", "Disconnected on purpose.");
    this.#requests.abandon(reason);
    this.#connected?.reject(reason);
    this.#connected = null;
  }
}
