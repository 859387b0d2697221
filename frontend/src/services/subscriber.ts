/**
 * Tells a connection what is subscribed to: what was asked for in one turn goes out together, as lists of clients.
 *
 * What is rate-limited is sent again when the server says; what is refused is kept, to be shown. A server that knows no lists is sent
 * one client at a time, slowly enough for its limits.
 */

import type { FrameOf, ServerFrame } from "./protocol.js";
import { ALL, askedOf, clientsOf, EVENTS, type SubscriptionFrame, type Subscriptions, type Wish } from "./subscriptions.js";
import { type Clock, Timer } from "./timing.js";
import type { ErrorCode } from "./vocabulary.js";

/** The server reads at most so many clients in one frame. */
export const MAX_CLIENTS = 200;
/** Single frames come at most so often: ten a second are within every limit. */
const PACE_MS = 100;
/** Where a server does not say when to try again. */
const RETRY_MS = 1000;
/** After so many malformed frames no more are risked: too many end a connection. */
const MAX_MALFORMED = 5;
/** Servers that know lists know clients by UUID, and refuse a list with anything else in it. */
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export type Refused = Readonly<Record<string, ErrorCode>>;

interface Sent {
  frame: SubscriptionFrame;
  /** The clients that are not answered yet. */
  open: Set<string>;
}

export class Subscriber {
  readonly #subscriptions: Subscriptions;
  readonly #send: (frame: SubscriptionFrame) => boolean;
  readonly #refusedChanged: () => void;
  readonly #timer: Timer;
  /** What the connection was told for each client; null: to be told again, whatever it was. */
  readonly #told = new Map<string, Wish | null>();
  readonly #sent = new Map<string, Sent>();
  #refused: Record<string, ErrorCode> = {};
  #isConnected = false;
  #isPlanned = false;
  #knowsLists = true;
  #malformed = 0;
  #count = 0;

  constructor(
    subscriptions: Subscriptions,
    clock: Clock,
    send: (frame: SubscriptionFrame) => boolean,
    refusedChanged: () => void,
  ) {
    this.#subscriptions = subscriptions;
    this.#timer = new Timer(clock);
    this.#send = send;
    this.#refusedChanged = refusedChanged;
  }

  /** Client → why it is not followed. */
  get refused(): Refused {
    return this.#refused;
  }

  /** A new connection: it knows nothing yet. */
  connected(): void {
    this.#forget();
    this.#isConnected = true;
    this.#setRefused({});
    this.#flush();
  }

  disconnected(): void {
    this.#forget();
    this.#isConnected = false;
  }

  /** Something is wanted, or not any more: tell the server at the end of this turn. What it refused of `clients` is tried again. */
  changed(clients: readonly string[] = []): void {
    for (const client of clients) if (client in this.#refused) this.#told.set(client, null);
    if (this.#isPlanned || !this.#isConnected) return;
    this.#isPlanned = true;
    queueMicrotask(() => {
      this.#isPlanned = false;
      this.#flush();
    });
  }

  /** Send a frame that wants an answer to its own `ref` at once; what it asks for is wanted already. */
  ask(frame: SubscriptionFrame): boolean {
    const clients = clientsOf(frame);
    const [first = ALL] = clients;
    const isSingle = frame.type === "subscribe" && clients.length === 1;
    // Others may want more of a client than the frame says: of a list, what is missing follows at the end of the turn.
    for (const client of clients) this.#told.set(client, isSingle ? this.#subscriptions.wanted(client) : askedOf(frame));
    this.changed();
    const asked = isSingle ? subscribeFrame([first], this.#subscriptions.wanted(first), frame.ref) : frame;
    return this.#dispatch(asked, String(frame.ref));
  }

  /** Take note of an answer. */
  settle(frame: ServerFrame): void {
    if (frame.type === "error") this.#failed(frame);
    else if (frame.type === "subscribed" || frame.type === "unsubscribed") this.#answered(frame);
  }

  #answered(frame: FrameOf<"subscribed"> | FrameOf<"unsubscribed">): void {
    const client = frame.client_id ?? ALL;
    this.#close(frame.ref, client);
    if (client in this.#refused) this.#setRefused(omit(this.#refused, client));
    if (frame.type === "unsubscribed" && frame.topics.length === 0) this.#retryCrowdedOut();
  }

  #failed({ ref, code, client_id, retry_after_ms }: FrameOf<"error">): void {
    const ms = retry_after_ms ?? RETRY_MS;
    if (code === "rate_limited" && ref == null) return this.#allAgain(ms); // it does not say which frame
    const sent = this.#sent.get(String(ref));
    if (!sent) return;
    if (code === "rate_limited") this.#again(String(ref), sent, ms);
    else if (client_id != null) this.#refuse(String(ref), sent, [client_id], code);
    else if (code === "invalid_message" && sent.frame.client_ids) this.#withoutLists(String(ref), sent);
    else this.#refuse(String(ref), sent, [...sent.open], code);
  }

  #allAgain(ms: number): void {
    for (const [ref, sent] of [...this.#sent]) this.#again(ref, sent, ms);
  }

  /** The frame was not taken: all of it is still to be told. */
  #again(ref: string, { open }: Sent, ms: number): void {
    this.#sent.delete(ref);
    for (const client of open) this.#told.set(client, null);
    this.#timer.set(() => this.#flush(), Math.max(ms, PACE_MS));
  }

  #withoutLists(ref: string, sent: Sent): void {
    this.#knowsLists = false;
    this.#again(ref, sent, PACE_MS);
  }

  #refuse(ref: string, { frame }: Sent, clients: readonly string[], code: ErrorCode): void {
    for (const client of clients) this.#close(ref, client);
    if (frame.type === "unsubscribe") return; // there is nothing left to stop
    if (code === "invalid_message") this.#malformed += 1;
    const alike = this.#malformed < MAX_MALFORMED ? [] : this.#pending().filter((other) => clients.some((each) => isAlike(each, other)));
    for (const client of alike) this.#told.set(client, this.#subscriptions.wanted(client));
    this.#setRefused({ ...this.#refused, ...Object.fromEntries([...clients, ...alike].map((client) => [client, code])) });
  }

  /** There is room again for clients that were one too many. */
  #retryCrowdedOut(): void {
    const crowdedOut = Object.keys(this.#refused).filter((client) => this.#refused[client] === "too_many_subscriptions");
    if (crowdedOut.length > 0) this.changed(crowdedOut);
  }

  #close(ref: ServerFrame["ref"], client: string): void {
    const sent = this.#sent.get(String(ref));
    if (!sent) return;
    sent.open.delete(client);
    if (sent.open.size > 0) return;
    this.#sent.delete(String(ref));
    if (isSlow(sent.frame, this.#knowsLists)) this.changed();
  }

  /** Clients about which the connection is to be told something. */
  #pending(): string[] {
    const known = new Set([...this.#subscriptions.clients, ...this.#told.keys()]);
    return [...known].filter((client) => !isSame(this.#subscriptions.wanted(client), this.#told.get(client) ?? null));
  }

  #flush(): void {
    if (!this.#isConnected || this.#timer.isSet) return;
    const pending = this.#pending();
    const refused = pending.reduce(omit, this.#refused);
    if (refused !== this.#refused) this.#setRefused(refused);
    const isListed = (client: string): boolean => this.#knowsLists && client !== ALL && UUID.test(client);
    if (pending.includes(ALL)) this.#tell([ALL]);
    for (const group of groupsOf(pending.filter(isListed), (client) => this.#kindOf(client))) this.#tell(group);
    this.#tellNext(pending.filter((client) => client !== ALL && !isListed(client)));
  }

  /** One at a time, each after the answer to the one before and not too fast: a burst would be refused. */
  #tellNext([client, ...more]: string[]): void {
    const isWaiting = [...this.#sent.values()].some(({ frame }) => isSlow(frame, this.#knowsLists));
    if (client === undefined || isWaiting) return;
    this.#tell([client]);
    if (!this.#knowsLists && more.length > 0) this.#timer.set(() => this.#flush(), PACE_MS);
  }

  #kindOf(client: string): string {
    return JSON.stringify([this.#subscriptions.wanted(client), this.#goneOf(client)]);
  }

  /** The topics that are only to be left out, where nothing else changes. */
  #goneOf(client: string): Wish["topics"] {
    const told = this.#told.get(client);
    const { topics, minSeverity } = this.#subscriptions.wanted(client);
    const isLess = told && told.minSeverity === minSeverity && topics.every((topic) => told.topics.includes(topic));
    return isLess && topics.length > 0 ? told.topics.filter((topic) => !topics.includes(topic)) : [];
  }

  /** Tell the connection about clients of one kind. */
  #tell(clients: string[]): void {
    const [first = ALL] = clients;
    const wish = this.#subscriptions.wanted(first);
    const gone = this.#goneOf(first);
    for (const client of clients) this.#told.set(client, wish);
    const ref = `subscription-${++this.#count}`;
    const place = placeOf(clients);
    if (gone.length > 0) this.#dispatch({ type: "unsubscribe", ...place, topics: [...gone], ref }, ref);
    else if (wish.topics.length === 0) this.#dispatch({ type: "unsubscribe", ...place, ref }, ref);
    else this.#dispatch(subscribeFrame(clients, wish, ref), ref);
  }

  #dispatch(frame: SubscriptionFrame, ref: string): boolean {
    this.#sent.set(ref, { frame, open: new Set(clientsOf(frame)) });
    return this.#send(frame);
  }

  #forget(): void {
    this.#told.clear();
    this.#sent.clear();
    this.#timer.clear();
    this.#knowsLists = true;
    this.#malformed = 0;
  }

  #setRefused(refused: Record<string, ErrorCode>): void {
    const isSameAsBefore = Object.keys(refused).length === 0 && Object.keys(this.#refused).length === 0;
    this.#refused = refused;
    if (!isSameAsBefore) this.#refusedChanged();
  }
}

const isSame = (one: Wish, other: Wish | null): boolean => other !== null && JSON.stringify(plain(one)) === JSON.stringify(plain(other));
const plain = ({ topics, minSeverity }: Wish): unknown => [topics, minSeverity];

/** Neither, or both, are ids as servers have them. */
const isAlike = (one: string, other: string): boolean => other !== ALL && UUID.test(one) === UUID.test(other);

/** A frame after whose answer the next one is due. */
const isSlow = (frame: SubscriptionFrame, knowsLists: boolean): boolean =>
  clientsOf(frame).some((client) => client !== ALL && !(knowsLists && UUID.test(client)));

const placeOf = (clients: string[]): { client_id?: string; client_ids?: string[] } => {
  const [first = ALL] = clients;
  return clients.length > 1 ? { client_ids: clients } : first === ALL ? {} : { client_id: first };
};

function subscribeFrame(clients: string[], { topics, minSeverity }: Wish, ref: SubscriptionFrame["ref"]): SubscriptionFrame {
  const isAll = topics.join() === EVENTS.topics.join();
  return {
    type: "subscribe",
    ...placeOf(clients),
    ...(!isAll && { topics: [...topics] }),
    ...(minSeverity && { min_severity: minSeverity }),
    ref,
  };
}

/** `items` by what `kindOf` says of them, at most `MAX_CLIENTS` together. */
function groupsOf(items: string[], kindOf: (item: string) => string): string[][] {
  const groups = new Map<string, string[]>();
  for (const item of items) {
    const kind = kindOf(item);
    groups.set(kind, [...(groups.get(kind) ?? []), item]);
  }
  return [...groups.values()].flatMap((group) =>
    Array.from({ length: Math.ceil(group.length / MAX_CLIENTS) }, (_, n) => group.slice(n * MAX_CLIENTS, (n + 1) * MAX_CLIENTS)),
  );
}

function omit(refused: Record<string, ErrorCode>, client: string): Record<string, ErrorCode> {
  if (!(client in refused)) return refused;
  const { [client]: _, ...rest } = refused;
  return rest;
}
