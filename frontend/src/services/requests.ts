/** Requests and their answers, matched by `ref`. */

import { ConnectionError } from "./closing.js";
import type { ErrorCode } from "./vocabulary.js";
import type { ServerFrame } from "./protocol.js";
import { type Clock, Timer } from "./timing.js";

/** The server refused a request; `code` is that of its error frame. */
export class RequestError extends Error {
  override name = "RequestError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

interface Pending {
  resolve(frame: ServerFrame): void;
  reject(error: Error): void;
  timer: Timer;
}

export class Requests {
  readonly #clock: Clock;
  readonly #pending = new Map<string, Pending>();
  readonly #timeoutMs: number;
  /** Keeps the refs of several tabs on one socket apart. */
  readonly #prefix = Math.random().toString(36).slice(2, 10);
  #last = 0;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /** Send by `send(ref)`, and return the answer. Rejects with `RequestError`, or `ConnectionError` if no answer can come any more. */
  make(send: (ref: string) => boolean): Promise<ServerFrame> {
    const ref = `${this.#prefix}-${++this.#last}`;
    return new Promise((resolve, reject) => {
      const timer = new Timer(this.#clock);
      this.#pending.set(ref, { resolve, reject, timer });
      if (!send(ref))
        return this.#take(ref)?.reject(new ConnectionError("not_connected", "There is no connection now."));
      timer.set(
        () => this.#take(ref)?.reject(new ConnectionError("timeout", "The server did not answer in time.")),
        this.#timeoutMs,
      );
    });
  }

  /** Settle the request that `frame` answers, if it is one of ours. */
  settle(frame: ServerFrame): void {
    const pending = this.#take(frame.ref);
    if (frame.type === "error") pending?.reject(new RequestError(frame.code, frame.message));
    else pending?.resolve(frame);
  }

  /** No answer can come any more. */
  abandon(error: ConnectionError): void {
    for (const ref of [...this.#pending.keys()]) this.#take(ref)?.reject(error);
  }

  #take(ref: string | number | null | undefined): Pending | undefined {
    if (typeof ref !== "string") return undefined;
    const pending = this.#pending.get(ref);
    this.#pending.delete(ref);
    pending?.timer.clear();
    return pending;
  }
}
