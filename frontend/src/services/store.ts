/** A value others can watch: `subscribe` and `getSnapshot`, as React's `useSyncExternalStore` wants them. */

import { report, type Unsubscribe } from "./emitter.js";
import { type Clock, Timer } from "./timing.js";

export class Store<T extends object> {
  #value: T;
  readonly #collect: () => Partial<T>;
  readonly #listeners = new Set<() => void>();
  readonly #timer: Timer;
  readonly #quietMs: number;

  /** `collect` reads what changes with every message; listeners hear of that at most every `quietMs`. */
  constructor(value: T, collect: () => Partial<T>, clock: Clock, quietMs: number) {
    this.#value = value;
    this.#collect = collect;
    this.#timer = new Timer(clock);
    this.#quietMs = quietMs;
  }

  /** The value as listeners know it: the same object until they are told of a new one. */
  getSnapshot = (): T => this.#value;

  subscribe = (listener: () => void): Unsubscribe => {
    const own = (): void => listener();
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  };

  /** Change the value and tell the listeners now. */
  set(change: Partial<T>): void {
    this.#timer.clear();
    this.#value = { ...this.#value, ...this.#collect(), ...change };
    for (const listener of [...this.#listeners]) {
      try {
        listener();
      } catch (error) {
        report(error);
      }
    }
  }

  /** Something to collect has changed: tell the listeners soon. */
  touch(): void {
    if (!this.#timer.isSet) this.#timer.set(() => this.set({}), this.#quietMs);
  }
}
