/** What the connection's state means to a reader: one or two words, and a detail. No DOM. */

import type { Snapshot } from "../../services/client.js";
import { exactTime, timeOfDay } from "./format.js";

export type Mood = "off" | "connecting" | "catching-up" | "live" | "reconnecting" | "stale";

export interface Condition {
  mood: Mood;
  text: string;
  /** Changes every second, maybe: not for a screen reader. */
  detail: string;
  /** Whether trying now, instead of waiting, makes sense. */
  canRetry: boolean;
}

/** What is older than this is called stale: the reader may be deciding on it. */
const STALE_MS = 20_000;

/** Describe a connection at `now`, in ms since the epoch; `freshAt`: when the page was last known to be right, by the same clock. */
export function describe(
  { state, latencyMs, nextRetryAt, error }: Pick<Snapshot, "state" | "latencyMs" | "nextRetryAt" | "error">,
  freshAt: number,
  now: number,
): Condition {
  switch (state) {
    case "live":
      return { mood: "live", text: "Live", detail: latencyMs === null ? "" : `${Math.round(latencyMs)} ms`, canRetry: false };
    case "catchingUp":
      return { mood: "catching-up", text: "Catching up", detail: "", canRetry: false };
    case "idle":
      return { mood: "connecting", text: "Connecting", detail: "", canRetry: false };
    case "closed":
      return { mood: "stale", text: `Stale since ${timeOfDay(freshAt)}`, detail: error?.message ?? "", canRetry: true };
    default: {
      const lost = error?.code === "slow" ? null : error; // the first connection, that takes its time
      const wait = nextRetryAt === null ? 0 : Math.max(Math.ceil((nextRetryAt - now) / 1000), 0);
      const attempt = wait > 0 ? `Reconnecting in ${wait} s` : lost ? "Reconnecting" : "Connecting";
      if (lost && now - freshAt >= STALE_MS) {
        return { mood: "stale", text: `Stale since ${timeOfDay(freshAt)}`, detail: attempt.toLowerCase(), canRetry: wait > 0 };
      }
      const detail = lost ? `as of ${exactTime(freshAt)}` : (error?.message ?? "");
      return { mood: lost ? "reconnecting" : "connecting", text: attempt, detail, canRetry: wait > 0 };
    }
  }
}
