/** One socket, from its opening to its end: decodes what comes, in order, and tells of the end once. */

import { decode } from "./encoding.js";

/* oxlint-disable typescript/no-explicit-any -- what else would fit the browser's, Node's and the `ws` package's event types */
/** The part of the browser's `WebSocket` that is used; `ws` and Node's own have it too. */
export interface SocketLike {
  binaryType: string;
  readonly protocol: string;
  readonly readyState: number;
  onmessage: ((event: { data: any }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: any) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}
/* oxlint-enable typescript/no-explicit-any */
export type SocketConstructor = new (url: string, protocols?: string[]) => SocketLike;

export interface LinkListener {
  received(value: unknown): void;
  undecodable(error: unknown, data: unknown): void;
  closed(code: number, reason: string): void;
}

const OPEN = 1;

export class Link {
  readonly #socket: SocketLike;
  #listener: LinkListener | null;
  /** Set while something is being decompressed: what comes later waits for it. */
  #queue: Promise<void> | null = null;

  constructor(socket: SocketLike, listener: LinkListener) {
    this.#socket = socket;
    this.#listener = listener;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#inOrder(() => this.#end(code, reason));
    socket.onerror = () => undefined; // a close event follows, and says more
  }

  /** Send `frame` as JSON; say whether the socket was open. */
  send(frame: object): boolean {
    if (!this.#listener || this.#socket.readyState !== OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** Close the socket and hear no more of it, not even its close event: on a dead line that takes minutes. */
  drop(): void {
    this.#listener = null;
    this.#socket.close(1000);
  }

  #receive(data: string | ArrayBuffer): void {
    let value: unknown;
    try {
      value = decode(data, this.#socket.protocol);
    } catch (error) {
      this.#inOrder(() => this.#listener?.undecodable(error, data));
      return;
    }
    if (!(value instanceof Promise)) {
      this.#inOrder(() => this.#listener?.received(value));
      return;
    }
    const deliver = value.then(
      (decoded: unknown) => () => this.#listener?.received(decoded),
      (error: unknown) => () => this.#listener?.undecodable(error, data),
    );
    const queue = (this.#queue ?? Promise.resolve()).then(async () => {
      (await deliver)();
      if (this.#queue === queue) this.#queue = null;
    });
    this.#queue = queue;
  }

  #inOrder(task: () => void): void {
    if (!this.#queue) return task();
    const queue = this.#queue.then(() => {
      task();
      if (this.#queue === queue) this.#queue = null;
    });
    this.#queue = queue;
  }

  #end(code: number, reason: string): void {
    const listener = this.#listener;
    this.#listener = null;
    listener?.closed(code, reason);
  }
}
