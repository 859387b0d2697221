/** What became of the connection since the page was opened: states, losses, latencies. A store for `useSyncExternalStore`. */

import type { RealtimeClient } from "@/services/client.js";
import type { Unsubscribe } from "@/services/emitter.js";
import { type ConnectionState, isConnectedState } from "@/services/states.js";

const ENTRIES = 50;
const LATENCIES = 60;

export interface JournalEntry {
  id: number;
  atMs: number;
  state: ConnectionState;
  /** Why, where it is no good news. */
  reason: string;
}

export interface JournalValue {
  /** Newest first. */
  entries: readonly JournalEntry[];
  /** How often the connection came back. */
  reconnects: number;
  /** In ms, oldest first. */
  latencies: readonly number[];
  /** When the page was last known to be right, if it is not now: ms since the epoch, by this machine's clock. */
  freshAt: number;
}

export class Journal {
  #value: JournalValue = { entries: [], reconnects: 0, latencies: [], freshAt: Date.now() };
  readonly #listeners = new Set<() => void>();
  #wasConnected = false;
  #count = 0;

  /** Keep the journal of `client` until the returned function was called. */
  follow(client: RealtimeClient): Unsubscribe {
    const note = (): void => this.#note(client);
    note();
    const stops = [
      client.subscribe(note),
      client.on("pong", () => queueMicrotask(() => this.#measured(client.getSnapshot().latencyMs))),
      client.on("connection", () => void this.measure(client)),
    ];
    return () => stops.forEach((stop) => stop());
  }

  subscribe = (listener: () => void): Unsubscribe => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  getSnapshot = (): JournalValue => this.#value;

  /** Measure how far away the server is, now; the connection's own pings come every few seconds. */
  async measure(client: RealtimeClient): Promise<void> {
    const sentAt = performance.now();
    try {
      await client.request({ type: "ping" });
    } catch {
      return; // the line is gone, and the state tells
    }
    this.#measured(performance.now() - sentAt);
  }

  #note(client: RealtimeClient): void {
    const { state, error, lastMessageAt } = client.getSnapshot();
    if (state === this.#value.entries[0]?.state) return;
    const isBack = isConnectedState(state) && this.#wasConnected && !isConnectedState(this.#value.entries[0]?.state ?? "idle");
    this.#wasConnected ||= isConnectedState(state);
    const entry = { id: this.#count++, atMs: Date.now(), state, reason: isConnectedState(state) ? "" : (error?.message ?? "") };
    this.#set({
      entries: [entry, ...this.#value.entries].slice(0, ENTRIES),
      reconnects: this.#value.reconnects + (isBack ? 1 : 0),
      ...(this.#value.entries[0]?.state === "live" && { freshAt: lastMessageAt ?? Date.now() }),
    });
  }

  #measured(latencyMs: number | null): void {
    if (latencyMs !== null) this.#set({ latencies: [...this.#value.latencies, latencyMs].slice(-LATENCIES) });
  }

  #set(change: Partial<JournalValue>): void {
    this.#value = { ...this.#value, ...change };
    for (const listener of [...this.#listeners]) listener();
  }
}
