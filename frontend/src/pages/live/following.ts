/**
 * From a snapshot to live without a hole.
 *
 * A snapshot carries the positions it was read at, read before its data. The socket resumes from the first one's. Whenever another
 * snapshot is fetched, the events that came meanwhile are kept, and those after its positions are applied to it again: so the page
 * never goes back behind what it has shown.
 */

import type { RealtimeClient } from "../../services/client.js";
import type { Cursor } from "../../services/positions.js";
import type { EventFrame } from "../../services/protocol.js";
import { EVENT_TYPES } from "./events.js";
import { RestError } from "./rest.js";
import { DAY_CHECK_MS, serverDay } from "./serverClock.js";

/** At least so long between two fetches that events make necessary, and up to half as long again: pages shall not ask in step. */
const REFRESH_MS = 10_000;
const refreshMs = (): number => REFRESH_MS * (1 + Math.random() / 2);
/** After a fetch that failed. */
const RETRY_MS = 5000;

export interface Followed {
  /** Fetch a snapshot; return its positions and a function that puts it into the model. */
  fetch(): Promise<{ cursor: Cursor; commit: () => void }>;
  /** Apply an event to the model. It may happen twice to the same event. */
  apply(frame: EventFrame): void;
  /** Events cannot tell all that changed since the last snapshot. */
  isStale(): boolean;
  /** The model changed. */
  changed(): void;
  /** A snapshot cannot be had, ever: signed out (401, 403), or gone (404). */
  refused(error: RestError): void;
}

export class Follower {
  readonly #followed: Followed;
  readonly #connect: (cursor: Cursor) => RealtimeClient;
  #client: RealtimeClient | null = null;
  /** Events since the fetch that is under way was sent off; null if none is. */
  #meanwhile: EventFrame[] | null = null;
  #isWantedAgain = false;
  /** The server's day when the last snapshot was asked for: its figures of "today" are of that day. */
  #day: string | null = null;
  /** No fetch before. */
  #notBefore = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `connect` makes the client that resumes from a cursor, and starts it. */
  constructor(followed: Followed, connect: (cursor: Cursor) => RealtimeClient) {
    this.#followed = followed;
    this.#connect = connect;
    document.addEventListener("visibilitychange", () => this.#schedule());
    setInterval(() => this.#schedule(), DAY_CHECK_MS); // midnight passes without an event
  }

  /** Fetch a snapshot; the first one starts the connection. */
  async load(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#meanwhile) {
      this.#isWantedAgain = true;
      return;
    }
    this.#meanwhile = [];
    this.#isWantedAgain = false;
    const day = serverDay();
    try {
      const { cursor, commit } = await this.#followed.fetch();
      commit();
      this.#day = day;
      for (const frame of this.#meanwhile) if (isAfter(frame, cursor)) this.#followed.apply(frame);
      this.#followed.changed();
      this.#client ??= this.#follow(cursor);
      this.#wait(this.#isWantedAgain ? 0 : refreshMs());
    } catch (error) {
      if (error instanceof RestError && [401, 403, 404].includes(error.status)) this.#followed.refused(error);
      else {
        this.#isWantedAgain = true;
        this.#wait(RETRY_MS);
        if (!(error instanceof TypeError || error instanceof RestError)) throw error; // a bug, not the network
      }
    }
  }

  #follow(cursor: Cursor): RealtimeClient {
    const client = this.#connect(cursor);
    for (const type of EVENT_TYPES) client.on(type, (frame: EventFrame) => this.#take(frame));
    client.on("resync", () => void this.load());
    return client;
  }

  #take(frame: EventFrame): void {
    this.#meanwhile?.push(frame);
    this.#followed.apply(frame);
    this.#followed.changed();
    this.#schedule();
  }

  /** The fetch is over; the next one comes in `ms` at the earliest. */
  #wait(ms: number): void {
    this.#meanwhile = null;
    this.#notBefore = Date.now() + ms;
    this.#schedule();
  }

  #schedule(): void {
    const isWanted = this.#isWantedAgain || this.#followed.isStale() || (this.#day !== null && this.#day !== serverDay());
    if (!isWanted || this.#timer !== undefined || this.#meanwhile || document.visibilityState === "hidden") return;
    this.#timer = setTimeout(() => void this.load(), Math.max(this.#notBefore - Date.now(), 0));
  }
}

/** Say whether a snapshot read at `cursor` may not hold the event yet. */
export function isAfter(frame: EventFrame, { positions }: Cursor): boolean {
  if (frame.stream == null || frame.seq == null) return true;
  return frame.seq > (positions[frame.stream] ?? -1);
}
