/** The time, for what changes with it alone: ages, rates, charts that move on. */

import { useSyncExternalStore } from "react";
import { serverNow } from "@/pages/live/serverClock.js";

const listeners = new Set<() => void>();
let now = { server: serverNow(), local: Date.now() };
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    now = { server: serverNow(), local: Date.now() };
    for (const tell of [...listeners]) tell();
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** The server's time in ms since the epoch, once a second. */
export const useNow = (): number => useSyncExternalStore(subscribe, () => now.server);

/** The same by this machine's clock, by which the connection counts. */
export const useLocalNow = (): number => useSyncExternalStore(subscribe, () => now.local);
