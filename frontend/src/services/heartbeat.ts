/** Is the line alive? A ping every so often; a line that does not answer is given up. */

import { type Clock, Timer } from "./timing.js";

export interface HeartbeatListener {
  /** Send a ping. */
  ping(): void;
  /** The answer took so long. */
  measured(ms: number): void;
  /** No answer came. */
  dead(): void;
}

export class Heartbeat {
  readonly #clock: Clock;
  readonly #listener: HeartbeatListener;
  readonly #everyMs: number;
  readonly #patienceMs: number;
  readonly #tick: Timer;
  readonly #patience: Timer;
  #pingedAt: number | null = null;
  #heardAt = 0;

  constructor(clock: Clock, everyMs: number, patienceMs: number, listener: HeartbeatListener) {
    this.#clock = clock;
    this.#everyMs = everyMs;
    this.#patienceMs = patienceMs;
    this.#listener = listener;
    this.#tick = new Timer(clock);
    this.#patience = new Timer(clock);
  }

  start(): void {
    this.stop();
    this.heard();
    this.#tick.set(() => this.#beat(), this.#everyMs);
  }

  stop(): void {
    this.#tick.clear();
    this.#patience.clear();
    this.#pingedAt = null;
  }

  /** Ask now, not at the next beat; without any answer within `patienceMs` the line is given up. */
  probe(patienceMs = this.#patienceMs): void {
    if (this.#pingedAt !== null) return;
    this.#pingedAt = this.#clock.now();
    this.#listener.ping();
    this.#patience.set(() => this.#judge(), patienceMs);
  }

  /** Something came. */
  heard(): void {
    this.#heardAt = this.#clock.now();
  }

  answered(): void {
    if (this.#pingedAt === null) return;
    this.#patience.clear();
    const ms = this.#clock.now() - this.#pingedAt;
    this.#pingedAt = null;
    this.#listener.measured(ms);
  }

  get silentMs(): number {
    return this.#clock.now() - this.#heardAt;
  }

  /** A line that brings other frames is slow, not dead: its pong may wait behind them, until the next beat. */
  #judge(): void {
    if (this.#pingedAt !== null && this.#heardAt <= this.#pingedAt) this.#listener.dead();
  }

  #beat(): void {
    if (this.#pingedAt !== null && this.#clock.now() - this.#pingedAt >= this.#patienceMs) return this.#listener.dead();
    this.#tick.set(() => this.#beat(), this.#everyMs);
    this.probe();
  }
}
