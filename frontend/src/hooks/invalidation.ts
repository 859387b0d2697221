/**
 * From events to refetches: which queries an event makes stale, folded so that a burst of events causes one refetch.
 *
 * A round waits for the refetches of the last one. Events that come meanwhile make the next round, so nothing is fetched twice at
 * once, no fetch is cancelled by the next event, and the last event of a burst is always followed by a fetch.
 */

import type { QueryClient, QueryKey } from "@tanstack/react-query";
import type { RealtimeClient } from "../services/client.js";
import { report, type Unsubscribe } from "../services/emitter.js";
import type { EventFrame } from "../services/protocol.js";
import { queryKeys, type QueryKeys } from "./queryKeys.js";

/** How long events are gathered before a refetch, in ms. */
const FOLD_MS = 250;
/** How long there is none after one, in ms: a steady stream of events refetches less than once a second. */
const REST_MS = 1000;

/** The queries that `frame` makes stale. */
export function staleKeys(frame: EventFrame, keys: QueryKeys = queryKeys): QueryKey[] {
  const id = frame.client_id;
  if (frame.type === "engagement_update") return [keys.dashboard(id)];
  if (frame.type === "alert") return [keys.alertsFeed(), keys.alertsByClient(id), keys.dashboard(id)];
  const { app_id: appId } = frame.data;
  return [keys.dashboard(id), keys.interactions(id), ...(appId ? [keys.applicationInteractions(id, appId)] : [])];
}

/** Every query that could be stale: nothing is known of what happened. */
export function allKeys(keys: QueryKeys = queryKeys): QueryKey[] {
  const ofAny = [
    keys.dashboard(""),
    keys.interactions(""),
    keys.applicationInteractions("", ""),
    keys.alertsByClient(""),
  ];
  return [...ofAny.map((key) => key.slice(0, key.indexOf(""))), keys.alertsFeed()];
}

class Folder {
  readonly #queries: QueryClient;
  readonly #stale = new Map<string, QueryKey>();
  #round: Promise<void> | null = null;

  constructor(queries: QueryClient) {
    this.#queries = queries;
  }

  add(keys: QueryKey[]): void {
    for (const key of keys) this.#stale.set(JSON.stringify(key), key);
    this.#round ??= this.#gather()
      .catch(report)
      .finally(() => {
        this.#round = null;
        if (this.#stale.size) this.add([]);
      });
  }

  async #gather(): Promise<void> {
    await pause(FOLD_MS);
    const keys = [...this.#stale.values()];
    this.#stale.clear();
    await Promise.all(keys.map((queryKey) => this.#queries.invalidateQueries({ queryKey })));
    await pause(REST_MS);
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** All clients of a page share one folder per query cache, however many hooks there are. */
const folders = new WeakMap<QueryClient, Folder>();
const following = new WeakMap<RealtimeClient, Map<QueryClient, { count: number; stop: Unsubscribe }>>();

/** Invalidate `queries` by what `client` hears, until the returned function was called. Twice for the same two counts as once. */
export function invalidateOn(client: RealtimeClient, queries: QueryClient, keys: QueryKeys = queryKeys): Unsubscribe {
  const ofClient = following.get(client) ?? new Map<QueryClient, { count: number; stop: Unsubscribe }>();
  following.set(client, ofClient);
  const entry = ofClient.get(queries) ?? { count: 0, stop: follow(client, queries, keys) };
  ofClient.set(queries, entry);
  entry.count += 1;
  return () => {
    entry.count -= 1;
    if (entry.count > 0) return;
    ofClient.delete(queries);
    entry.stop();
  };
}

function follow(client: RealtimeClient, queries: QueryClient, keys: QueryKeys): Unsubscribe {
  const folder = folders.get(queries) ?? new Folder(queries);
  folders.set(queries, folder);
  const hears = (frame: EventFrame): void => folder.add(staleKeys(frame, keys));
  let mayHaveMissed = Object.keys(client.cursor.positions).length === 0;
  const stops = [
    client.on("engagement_update", hears),
    client.on("interaction_update", hears),
    client.on("alert", hears),
    client.on("resync", () => folder.add(allKeys(keys))),
    // What was read before the first connection may lack what happened between; later ones resume.
    client.on("connection", () => {
      if (mayHaveMissed) folder.add(allKeys(keys));
      mayHaveMissed = false;
    }),
  ];
  return () => stops.forEach((stop) => stop());
}
