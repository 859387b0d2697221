/**
 * From the socket to the query cache.
 *
 * Live documents are queries like any other. Events are gathered and applied to all of them once per animation frame, at most every
 * `REST_MS`; a document that became stale is fetched again in the background, and what came meanwhile is applied to the answer before
 * anybody sees it. After a resync all are fetched anew.
 */

import { type QueryClient, type QueryKey, hashKey } from "@tanstack/react-query";
import type { RealtimeClient } from "@/services/client.js";
import type { Unsubscribe } from "@/services/emitter.js";
import { DAY_CHECK_MS, serverDay } from "@/pages/live/serverClock.js";
import type { EventFrame } from "@/services/protocol.js";
import { advance, type Apply, type Document } from "../state/document.js";

/** Nobody reads faster; the other frames are left to scrolling and animation. */
const REST_MS = 80;
/** A page that nobody sees gets no animation frames: apply what came so often, so that it does not pile up. */
const UNSEEN_MS = 1000;
/** At least so long between two fetches of a document that events make necessary. */
const REFRESH_MS = 5000;

export interface LiveQuery<D extends Document> {
  queryKey: QueryKey;
  /** Read a snapshot. `previous` is the document so far, unless events were lost since: what still holds may be kept. */
  fetch(previous: D | undefined): Promise<D>;
  apply: Apply<D>;
}

interface Entry {
  query: LiveQuery<Document>;
  fetchedAt: number;
  /** The server's day when the document was asked for: its figures of "today" are of that day. */
  day: string | null;
  isLost: boolean;
  timer: ReturnType<typeof setTimeout> | undefined;
}

const EVENTS = ["engagement_update", "interaction_update", "alert"] as const;

export class Feed {
  readonly #queries: QueryClient;
  readonly #entries = new Map<string, Entry>();
  /** What came since each fetch that is under way was sent off. */
  readonly #meanwhile = new Set<EventFrame[]>();
  #waiting: EventFrame[] = [];
  #isAsked = false;
  #appliedAt = 0;
  #taken = 0;

  constructor(queries: QueryClient) {
    this.#queries = queries;
    document.addEventListener("visibilitychange", () => {
      this.#isAsked = false; // the frame that was asked for may not come as long as nobody sees the page
      this.#ask();
    });
    setInterval(() => this.#checkDay(), DAY_CHECK_MS);
  }

  /** Keep the document of `query` right from now on; if it became stale while nobody watched it, fetch it. */
  attend<D extends Document>(query: LiveQuery<D>): void {
    this.#entry(query);
    this.#ask();
  }

  /** Events heard since the page was opened. */
  get taken(): number {
    return this.#taken;
  }

  /** Feed from `client` until the returned function was called. */
  follow(client: RealtimeClient): Unsubscribe {
    const stops = [
      ...EVENTS.map((type) => client.on(type, (frame: EventFrame) => this.take(frame))),
      client.on("resync", () => this.renew()),
      client.on("connection", () => this.#ask()),
    ];
    return () => stops.forEach((stop) => stop());
  }

  /** Fetch a document: the `queryFn` of its query. */
  async load<D extends Document>(query: LiveQuery<D>): Promise<D> {
    const entry = this.#entry(query);
    const meanwhile: EventFrame[] = [];
    this.#meanwhile.add(meanwhile);
    const day = serverDay();
    try {
      const previous = entry.isLost ? undefined : this.#queries.getQueryData<D>(query.queryKey);
      const document = await query.fetch(previous);
      entry.isLost = false;
      entry.day = day;
      return advance(document, meanwhile, query.apply);
    } finally {
      this.#meanwhile.delete(meanwhile);
      entry.fetchedAt = Date.now();
    }
  }

  take(frame: EventFrame): void {
    this.#taken += 1;
    this.#waiting.push(frame);
    for (const frames of this.#meanwhile) frames.push(frame);
    this.#ask();
  }

  /** Events were lost for good: nothing that was counted from them holds. */
  renew(): void {
    for (const [hash, entry] of this.#entries) {
      if (this.#isMounted(entry)) entry.isLost = true;
      else this.#drop(hash, entry);
    }
    this.refetch();
  }

  /** Fetch all documents that are on the page. */
  refetch(): void {
    void this.#queries.refetchQueries({ predicate: ({ queryHash }) => this.#entries.has(queryHash) }, { cancelRefetch: true });
  }

  #entry<D extends Document>(query: LiveQuery<D>): Entry {
    const hash = hashKey(query.queryKey);
    const erased = query as unknown as LiveQuery<Document>; // each document comes back to the query it is from
    const entry = this.#entries.get(hash) ?? { query: erased, fetchedAt: 0, day: null, isLost: false, timer: undefined };
    this.#entries.set(hash, entry);
    return entry;
  }

  #ask(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    const work = (): void => {
      this.#isAsked = false;
      this.#flush();
    };
    if (document.visibilityState === "hidden") setTimeout(work, UNSEEN_MS);
    else {
      const rest = Math.max(this.#appliedAt + REST_MS - performance.now(), 0);
      setTimeout(() => requestAnimationFrame(work), rest);
    }
  }

  #flush(): void {
    const frames = this.#waiting;
    this.#waiting = [];
    this.#appliedAt = performance.now();
    for (const [hash, entry] of this.#entries) {
      const { queryKey, apply } = entry.query;
      const before = this.#queries.getQueryData<Document>(queryKey);
      if (!before) {
        if (!this.#queries.getQueryState(queryKey)) this.#drop(hash, entry); // nobody has looked at it for long
        continue;
      }
      const after = advance(before, frames, apply);
      if (after !== before) this.#queries.setQueryData(queryKey, after);
      if (after.isStale || isOfYesterday(entry)) this.#refreshLater(entry);
    }
  }

  /** Midnight passes without an event. */
  #checkDay(): void {
    for (const entry of this.#entries.values()) if (isOfYesterday(entry)) this.#refreshLater(entry);
  }

  #refreshLater(entry: Entry): void {
    if (entry.timer !== undefined || !this.#isWatched(entry)) return;
    const wait = Math.max(entry.fetchedAt + REFRESH_MS - Date.now(), 0);
    entry.timer = setTimeout(() => {
      entry.timer = undefined;
      if (this.#isWatched(entry)) void this.#queries.refetchQueries({ queryKey: entry.query.queryKey, exact: true }, { cancelRefetch: false });
    }, wait);
  }

  #isWatched(entry: Entry): boolean {
    return this.#isMounted(entry) && document.visibilityState !== "hidden";
  }

  #isMounted({ query }: Entry): boolean {
    const found = this.#queries.getQueryCache().find({ queryKey: query.queryKey, exact: true });
    return (found?.getObserversCount() ?? 0) > 0;
  }

  #drop(hash: string, entry: Entry): void {
    clearTimeout(entry.timer);
    this.#entries.delete(hash);
    this.#queries.removeQueries({ queryKey: entry.query.queryKey, exact: true });
  }
}

const isOfYesterday = ({ day }: Entry): boolean => day !== null && day !== serverDay();
