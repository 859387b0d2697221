/** The subscriptions of one part of a page, such as a hook: merged with the others', and taken back without touching them. */

import type { Subscriptions } from "./subscriptions.js";
import type { EventFrame } from "./protocol.js";
import type { Severity, Topic } from "./vocabulary.js";

export interface Narrow {
  topics?: Topic[];
  min_severity?: Severity;
}

export interface Hold {
  /** Want all that comes anyway, so that nobody else's narrower subscription takes it away. */
  attend(): void;
  /** Follow a client, perhaps only some topics of it, or alerts from a severity on. */
  subscribe(clientId: string, narrow?: Narrow): void;
  unsubscribe(clientId: string): void;
  /** Want these topics beside what comes anyway. */
  add(clientId: string, topics: readonly Topic[]): void;
  /** Say whether this part asked for an event: others on the connection may have asked for more. */
  wants(frame: EventFrame): boolean;
  /** Want nothing any more. */
  release(): void;
}

let count = 0;

/** `changed` tells the connection; what it was refused of the clients named is tried again. */
export function holdOn(subscriptions: Subscriptions, changed: (clients: readonly string[]) => void): Hold {
  const holder = `part-${++count}`;
  return {
    attend() {
      subscriptions.attend(holder);
      changed([]);
    },
    subscribe(clientId, narrow) {
      subscriptions.remember({ type: "subscribe", client_id: clientId, ...narrow }, holder);
      changed([clientId]);
    },
    unsubscribe(clientId) {
      subscriptions.remember({ type: "unsubscribe", client_id: clientId }, holder);
      changed([clientId]);
    },
    add(clientId, topics) {
      subscriptions.add(holder, clientId, topics);
      changed([clientId]);
    },
    wants(frame) {
      const severity = frame.type === "alert" ? (frame.data.severity ?? null) : null;
      return subscriptions.isWanted(holder, frame.client_id, frame.type, severity);
    },
    release() {
      subscriptions.release(holder);
      changed([]);
    },
  };
}
