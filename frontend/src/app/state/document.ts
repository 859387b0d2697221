/**
 * A live document: a REST snapshot, and the events since, as one immutable value.
 *
 * It knows its place in each stream, so an event is applied once or not at all: events may be offered again, in any number of batches,
 * before or after a newer snapshot came, and the numbers come out the same.
 */

import type { EventFrame } from "@/services/protocol.js";

export interface Document {
  /** Stream → `seq` of the last event that is in here. */
  readonly positions: Readonly<Record<string, number>>;
  readonly epoch: string;
  /** Something happened that its event does not tell in full: a new snapshot is due. */
  readonly isStale: boolean;
}

/** Return `document` after `frames`, which are new to it, in order. It may set `isStale`; positions are not its business. */
export type Apply<D extends Document> = (document: D, frames: readonly EventFrame[]) => D;

/** Return `document` after those of `frames` that it does not hold yet; the same object if it holds them all. */
export function advance<D extends Document>(document: D, frames: readonly EventFrame[], apply: Apply<D>): D {
  const positions = { ...document.positions };
  const fresh = frames.filter(({ stream, seq }) => {
    if (stream == null || seq == null) return false; // a snapshot that somebody asked for; ours come over REST
    if (seq <= (positions[stream] ?? -1)) return false;
    positions[stream] = seq;
    return true;
  });
  return fresh.length ? { ...apply(document, fresh), positions } : document;
}
