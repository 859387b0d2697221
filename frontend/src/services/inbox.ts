/** What comes in: checked, unpacked, freed of doubles, and handed on in order. */

import type { ClientEvents } from "./client.js";
import type { Emitter } from "./emitter.js";
import { parseFrame } from "./parse.js";
import type { Cursor } from "./positions.js";
import { Positions } from "./positions.js";
import type { EventFrame, FrameOf, ServerFrame } from "./protocol.js";

/** The `ref` of our `resume` frames: an error that repeats it is about them. */
export const RESUME_REF = "resume";

export class Inbox {
  readonly positions: Positions;
  readonly #events: Emitter<ClientEvents>;
  readonly #act: (frame: ServerFrame) => boolean;
  #counts = { replayed: 0, doubles: 0, resyncs: 0 };
  #connection: FrameOf<"connection"> | null = null;

  /** `act` does what a frame asks of the client, before listeners hear of it, and says whether they shall. */
  constructor(cursor: Cursor | undefined, events: Emitter<ClientEvents>, act: (frame: ServerFrame) => boolean) {
    this.positions = new Positions(cursor);
    this.#events = events;
    this.#act = act;
  }

  /** What of it belongs into a snapshot. */
  get figures(): { positions: Record<string, number>; replayed: number; doubles: number; resyncs: number } {
    return { positions: this.positions.toJSON(), ...this.#counts };
  }

  /** Take in what a socket received. */
  receive(value: unknown): void {
    const frame = this.#read(value);
    if (frame?.type === "batch") this.#unpack(frame);
    else if (frame && this.#admit(frame)) this.#tell(frame);
  }

  /** The server does not say what becomes of our positions: go on from where the connection began; listeners refetch. */
  resyncAwaited(): void {
    const { positions = {}, epoch = "" } = this.#connection ?? {};
    for (const stream of this.positions.awaited) {
      const seq = positions[stream];
      this.receive({ type: "resync", stream, reason: seq === undefined ? "unknown" : "backlog", seq: seq ?? 0, epoch });
    }
  }

  #read(value: unknown): ServerFrame | undefined {
    try {
      return parseFrame(value);
    } catch (error) {
      this.#events.emit("problem", error as Error);
      return undefined;
    }
  }

  #unpack(batch: FrameOf<"batch">): void {
    const messages = batch.messages
      .map((message) => this.#read(message) as EventFrame | undefined)
      .filter((message): message is EventFrame => message !== undefined && this.#admit(message));
    for (const message of messages) this.#tell(message);
    if (messages.length) this.#events.emit("batch", { ...batch, messages });
  }

  #tell(frame: ServerFrame): void {
    if (!this.#act(frame)) return;
    this.#events.emit(frame.type, frame as never);
    this.#events.emit("*", frame);
    if (frame.type === "error" && frame.ref === RESUME_REF) this.resyncAwaited();
  }

  /** Keep the positions; say whether listeners should hear of the frame. */
  #admit(frame: ServerFrame): boolean {
    switch (frame.type) {
      case "engagement_update":
      case "interaction_update":
      case "alert":
        return this.#isNew(frame);
      case "connection":
        this.#connection = frame;
        return true;
      case "pong":
        this.positions.sent(frame.positions);
        return true;
      case "subscribed":
        this.positions.subscribed(frame);
        return true;
      case "unsubscribed":
        if (frame.client_id && frame.topics.length === 0) this.positions.forget(`client.${frame.client_id}`);
        return true;
      case "resumed":
        this.positions.resumed(frame);
        return true;
      case "resync":
        this.positions.resync(frame);
        this.#counts.resyncs += 1;
        return true;
      default:
        return true;
    }
  }

  #isNew(frame: EventFrame): boolean {
    const isReplay = this.positions.isReplaying(frame.stream);
    const isNew = this.positions.isNew(frame);
    if (!isNew) this.#counts.doubles += 1;
    else if (isReplay) this.#counts.replayed += 1;
    return isNew;
  }
}
