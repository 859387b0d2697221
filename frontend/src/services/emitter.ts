/** Handlers by type. One that throws is reported, and the others still run. */

export type Unsubscribe = () => void;
type Handler = (value: never) => void;

/** Hand an error to the page's (or Node's) own handling of uncaught errors. */
export function report(error: unknown): void {
  if (typeof reportError === "function") reportError(error);
  else
    queueMicrotask(() => {
      throw error;
    });
}

export class Emitter<Events extends object> {
  readonly #handlers = new Map<keyof Events, Set<Handler>>();

  on<T extends keyof Events>(type: T, handler: (value: Events[T]) => void): Unsubscribe {
    const handlers = this.#handlers.get(type) ?? new Set();
    this.#handlers.set(type, handlers);
    const own: Handler = (value) => handler(value); // the same function may be registered twice, and removed once
    handlers.add(own);
    return () => void handlers.delete(own);
  }

  emit<T extends keyof Events>(type: T, value: Events[T]): void {
    for (const handler of [...(this.#handlers.get(type) ?? [])]) {
      try {
        handler(value as never);
      } catch (error) {
        report(error);
      }
    }
  }
}
