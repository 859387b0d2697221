/** Who watches a client now, from `presence` frames: whole lists, and who came and went. */

import type { RealtimeClient } from "../services/client.js";
import type { FrameOf } from "../services/protocol.js";
import { createStore, type ExternalStore } from "./latest.js";

export interface Watcher {
  user: string;
  role: string;
}

export interface Presence {
  mspWatchers: number;
  clientWatchers: number;
  /** Names, where this user may see them. */
  watchers: Watcher[];
}

export const NOBODY: Presence = { mspWatchers: 0, clientWatchers: 0, watchers: [] };

/** Return `presence` as it is after `frame`. */
export function afterPresence(presence: Presence, frame: FrameOf<"presence">): Presence {
  const gone = new Set([...(frame.left ?? []), ...(frame.joined ?? [])].map(({ user }) => user));
  const kept = presence.watchers.filter(({ user }) => !gone.has(user));
  return {
    mspWatchers: frame.msp_watchers,
    clientWatchers: frame.client_watchers,
    watchers: frame.watchers ?? [...kept, ...(frame.joined ?? [])],
  };
}

/** Subscribes to the topic while somebody watches the store. */
export const createPresence = (client: RealtimeClient, clientId: string): ExternalStore<Presence> =>
  createStore<Presence>(NOBODY, (set) => {
    const stop = client.on("presence", (frame) => {
      if (frame.client_id === clientId) set((presence) => afterPresence(presence, frame));
    });
    const hold = client.hold();
    hold.add(clientId, ["presence"]);
    return () => {
      hold.release();
      stop();
    };
  });
