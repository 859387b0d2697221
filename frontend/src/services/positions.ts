/**
 * How far this client has got in each stream, and what it still misses.
 *
 * An event is new if its `seq` is above the position of its stream. After a reconnect a stream is *awaited* until the server has said
 * `resumed` or `resync` for it: what comes of it before that will come again, in its place, so it is left out.
 */

import type { ClientFrameOf, EventFrame, FrameOf } from "./protocol.js";

/** The server reads at most this many positions in one frame. */
export const MAX_POSITIONS = 200;

export interface Cursor {
  /** Stream → `seq` of the last event seen. */
  positions: Readonly<Record<string, number>>;
  /** Which life of the log the positions belong to. */
  epoch?: string | null;
}

export class Positions {
  epoch: string | null;
  #seqs: Map<string, number>;
  readonly #awaited = new Set<string>();
  readonly #replaying = new Map<string, number>();

  constructor(cursor?: Cursor) {
    this.epoch = cursor?.epoch ?? null;
    this.#seqs = new Map(Object.entries(cursor?.positions ?? {}));
  }

  /** Take over a new connection's positions for streams not known yet; return the frames that ask for what was missed. */
  welcome(frame: FrameOf<"connection">): ClientFrameOf<"resume">[] {
    const held = [...this.#seqs];
    const { epoch } = this;
    this.#replaying.clear();
    this.#awaited.clear();
    for (const [stream] of held) this.#awaited.add(stream);
    for (const [stream, seq] of Object.entries(frame.positions))
      if (!this.#seqs.has(stream)) this.#seqs.set(stream, seq);
    this.epoch ??= frame.epoch;
    const frames: ClientFrameOf<"resume">[] = [];
    for (let start = 0; start < held.length; start += MAX_POSITIONS) {
      frames.push({ type: "resume", positions: Object.fromEntries(held.slice(start, start + MAX_POSITIONS)), epoch });
    }
    return frames;
  }

  /** Say whether `frame` is new, and count it as seen. Snapshots and frames outside streams always are. */
  isNew(frame: EventFrame): boolean {
    const { stream, seq } = frame;
    if (stream == null || seq == null || (frame.type === "engagement_update" && frame.snapshot)) return true;
    if (this.#awaited.has(stream) || seq <= (this.#seqs.get(stream) ?? -1)) return false;
    this.#reach(stream, seq);
    return true;
  }

  resumed({ stream, to }: FrameOf<"resumed">): void {
    this.#awaited.delete(stream);
    if (to > (this.#seqs.get(stream) ?? 0)) this.#replaying.set(stream, to);
  }

  /** Go on from `seq`. A stream that is not this connection's (`unknown`) is not asked for again. */
  resync({ stream, seq, epoch, reason }: Pick<FrameOf<"resync">, "stream" | "seq" | "epoch" | "reason">): void {
    this.forget(stream);
    if (reason !== "unknown") this.#seqs.set(stream, seq);
    this.epoch = epoch;
  }

  subscribed({ stream, seq }: FrameOf<"subscribed">): void {
    if (!this.#seqs.has(stream)) this.#seqs.set(stream, seq);
  }

  forget(stream: string): void {
    this.#seqs.delete(stream);
    this.#awaited.delete(stream);
    this.#replaying.delete(stream);
  }

  /** Take the server's word that all up to `positions` was sent: events that topics left out have no frame of their own. */
  sent(positions: Readonly<Record<string, number>>): void {
    for (const [stream, seq] of Object.entries(positions)) {
      if (!this.#awaited.has(stream) && seq > (this.#seqs.get(stream) ?? Infinity)) this.#reach(stream, seq);
      else if (seq >= (this.#replaying.get(stream) ?? Infinity)) this.#replaying.delete(stream);
    }
  }

  /** Streams for which the server has not yet said whether it can resume them. */
  get awaited(): string[] {
    return [...this.#awaited];
  }

  /** Nothing that was missed is still to come. */
  get isSettled(): boolean {
    return this.#awaited.size === 0 && this.#replaying.size === 0;
  }

  isReplaying(stream: string | null | undefined): boolean {
    return this.#replaying.has(stream ?? "");
  }

  /** Where to resume from. */
  get cursor(): Cursor {
    return { positions: this.toJSON(), epoch: this.epoch };
  }

  /** What a `ping` tells of them; nothing if they are more than one frame may hold. */
  forPing(): { positions?: Record<string, number> } {
    return this.#seqs.size <= MAX_POSITIONS ? { positions: this.toJSON() } : {};
  }

  toJSON(): Record<string, number> {
    return Object.fromEntries(this.#seqs);
  }

  #reach(stream: string, seq: number): void {
    this.#seqs.set(stream, seq);
    if (seq >= (this.#replaying.get(stream) ?? Infinity)) this.#replaying.delete(stream);
  }
}
