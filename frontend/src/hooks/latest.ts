/** The last event of each kind that a client heard, as a store. Listens only while somebody watches. */

import type { RealtimeClient } from "../services/client.js";
import type { Unsubscribe } from "../services/emitter.js";
import type { Hold } from "../services/hold.js";
import type { EventFrame } from "../services/protocol.js";
import type { AlertData, EngagementData, InteractionData } from "../services/payloads.js";

export interface LatestData {
  engagement: EngagementData | null;
  interaction: InteractionData | null;
  alert: AlertData | null;
}

export interface ExternalStore<T> {
  subscribe(listener: () => void): Unsubscribe;
  getSnapshot(): T;
}

/** A store whose value `listen` keeps up to date while there are listeners. */
export function createStore<T>(
  initial: T,
  listen: (set: (change: (value: T) => T) => void) => Unsubscribe,
): ExternalStore<T> {
  let value = initial;
  let stop: Unsubscribe | null = null;
  const listeners = new Set<() => void>();
  const set = (change: (value: T) => T): void => {
    value = change(value);
    for (const listener of [...listeners]) listener();
  };
  return {
    getSnapshot: () => value,
    subscribe(listener) {
      const own = (): void => listener();
      listeners.add(own);
      stop ??= listen(set);
      return () => {
        listeners.delete(own);
        if (listeners.size > 0) return;
        stop?.();
        stop = null;
      };
    },
  };
}

/** `hold`: whose events; others on the connection may have asked for more. */
export const createLatest = (client: RealtimeClient, hold: Hold): ExternalStore<LatestData> =>
  createStore<LatestData>({ engagement: null, interaction: null, alert: null }, (set) => {
    const keep = (frame: EventFrame, change: Partial<LatestData>): void => {
      if (hold.wants(frame)) set((latest) => ({ ...latest, ...change }));
    };
    const stops = [
      client.on("engagement_update", (frame) => keep(frame, { engagement: frame.data })),
      client.on("interaction_update", (frame) => keep(frame, { interaction: frame.data })),
      client.on("alert", (frame) => keep(frame, { alert: frame.data })),
    ];
    return () => stops.forEach((stop) => stop());
  });
