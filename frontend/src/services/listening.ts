import type { ClientEvents, ClientEventType, RealtimeClient } from "./client.js";
import { type Emitter, report, type Unsubscribe } from "./emitter.js";

/** Register `handler`; one for `connection` that comes when there is a connection already is told of it at once. */
export function listen<T extends ClientEventType>(
  events: Emitter<ClientEvents>,
  client: Pick<RealtimeClient, "isConnected" | "getSnapshot">,
  type: T,
  handler: (message: ClientEvents[T]) => void,
): Unsubscribe {
  let isActive = true;
  const off = events.on(type, handler);
  const { connection } = client.getSnapshot();
  if (type === "connection" && connection && client.isConnected) {
    queueMicrotask(() => {
      try {
        if (isActive) handler(connection as ClientEvents[T]);
      } catch (error) {
        report(error);
      }
    });
  }
  return () => {
    isActive = false;
    off();
  };
}
