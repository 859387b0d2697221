/** What was subscribed to, so that a new connection can be told again. */

import type { ClientFrameOf } from "./protocol.js";

export type SubscriptionFrame = ClientFrameOf<"subscribe"> | ClientFrameOf<"unsubscribe">;

export const isSubscription = (frame: { type: string }): frame is SubscriptionFrame =>
  frame.type === "subscribe" || frame.type === "unsubscribe";

export class Subscriptions {
  readonly #selected: boolean;
  readonly #byClient = new Map<string, SubscriptionFrame[]>();

  /** `selected`: the connection follows nothing but what it subscribes to, so a subscription that ended leaves no trace. */
  constructor(selected: boolean) {
    this.#selected = selected;
  }

  remember({ ref: _, ...frame }: SubscriptionFrame): void {
    const key = frame.client_id ?? "";
    if (frame.type === "subscribe") this.#byClient.set(key, [frame]);
    else if (frame.topics) this.#byClient.set(key, [...(this.#byClient.get(key) ?? []), frame]);
    else if (this.#selected) this.#byClient.delete(key);
    else this.#byClient.set(key, [frame]);
  }

  /** Take over what another tab remembers. */
  adopt(frames: readonly SubscriptionFrame[]): void {
    this.#byClient.clear();
    for (const frame of frames) this.remember(frame);
  }

  /** The frames that bring a new connection to where the last one was. */
  frames(): SubscriptionFrame[] {
    return [...this.#byClient.values()].flat();
  }
}
