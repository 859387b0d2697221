/**
 * What is subscribed to, by whom, and what that comes to for each client.
 *
 * Several hooks (and tabs) share a connection, which has one subscription for each client: the union of what they ask for.
 * Whoever stops takes only its own part away.
 */

import type { ClientFrameOf } from "./protocol.js";
import { type Severity, SEVERITIES, type Topic, TOPICS } from "./vocabulary.js";

export type SubscriptionFrame = ClientFrameOf<"subscribe"> | ClientFrameOf<"unsubscribe">;

export const isSubscription = (frame: { type: string }): frame is SubscriptionFrame =>
  frame.type === "subscribe" || frame.type === "unsubscribe";

/** Topics, and for alerts the least severity; null lets all through. No topics: nothing. */
export interface Wish {
  readonly topics: readonly Topic[];
  readonly minSeverity: Severity | null;
}

/** One holder's wish for one client (`""`: for all that the connection follows). `isExtra`: beside what comes anyway. */
export interface HeldWish extends Wish {
  readonly holder: string;
  readonly clientId: string;
  readonly isExtra: boolean;
}

/** All that the connection follows. */
export const ALL = "";
/** In place of a client: the holder wants whatever it says nothing else of, as it comes anyway. */
const REST = "*";
/** What comes of a client for which nothing was said. */
export const EVENTS: Wish = { topics: TOPICS.filter((topic) => topic !== "presence"), minSeverity: null };
const NOTHING: Wish = { topics: [], minSeverity: null };

/** What brings both: all topics of either, and alerts from the lower severity on. */
export function union(one: Wish, other: Wish): Wish {
  const topics = TOPICS.filter((topic) => one.topics.includes(topic) || other.topics.includes(topic));
  const limits = [one, other].filter((wish) => wish.topics.includes("alert")).map((wish) => wish.minSeverity);
  const isLimited = limits.length > 0 && !limits.includes(null);
  return { topics, minSeverity: isLimited ? (SEVERITIES.find((severity) => limits.includes(severity)) ?? null) : null };
}

export class Subscriptions {
  readonly #selected: boolean;
  /** Client → holder and kind → wish. */
  readonly #held = new Map<string, Map<string, HeldWish>>();

  /** `selected`: the connection follows nothing but what it subscribes to. */
  constructor(selected: boolean) {
    this.#selected = selected;
  }

  /** Take over a frame that `holder` sends. */
  remember(frame: SubscriptionFrame, holder = "page"): void {
    for (const clientId of clientsOf(frame)) {
      if (frame.type === "subscribe") this.#set(holder, clientId, wishOf(frame));
      else if (frame.topics) this.#set(holder, clientId, without(this.#of(holder, clientId), frame.topics));
      else if (this.#selected) this.#drop(holder, clientId, false);
      else this.#set(holder, clientId, NOTHING);
    }
  }

  /** `holder` wants these topics of a client beside what comes anyway. */
  add(holder: string, clientId: string, topics: readonly Topic[]): void {
    this.#put({ holder, clientId, topics, minSeverity: null, isExtra: true });
  }

  /** `holder` wants all that comes anyway, but for the clients of which it says something else. */
  attend(holder: string): void {
    this.#set(holder, REST, NOTHING);
  }

  /** Say whether a holder that attends wants an event of this kind. */
  isWanted(holder: string, clientId: string, topic: Topic, severity: Severity | null): boolean {
    const wish = this.#held.get(clientId)?.get(keyOf(holder, false));
    if (!wish) return true;
    const isSevereEnough = !wish.minSeverity || !severity || SEVERITIES.indexOf(severity) >= SEVERITIES.indexOf(wish.minSeverity);
    return wish.topics.includes(topic) && (topic !== "alert" || isSevereEnough);
  }

  /** `holder` wants nothing any more, and stands in nobody's way. */
  release(holder: string): void {
    for (const clientId of this.#held.keys()) for (const isExtra of [false, true]) this.#drop(holder, clientId, isExtra);
  }

  /** Everything that is held, for another tab to `adopt`. */
  held(): HeldWish[] {
    return [...this.#held.values()].flatMap((wishes) => [...wishes.values()]);
  }

  /** Hold what another tab holds, in place of what it held before. */
  adopt(tab: string, wishes: readonly HeldWish[]): void {
    const prefix = `${tab}/`;
    const before = this.held().filter(({ holder }) => holder.startsWith(prefix));
    for (const { holder } of before) this.release(holder);
    for (const wish of wishes) this.#put({ ...wish, holder: prefix + wish.holder });
  }

  /** The clients for which something is held; `ALL` first. */
  get clients(): string[] {
    return [...this.#held.keys()].filter((client) => client !== REST).sort((one, other) => Number(other === ALL) - Number(one === ALL));
  }

  /** What the connection shall bring of a client. */
  wanted(clientId: string): Wish {
    const wishes = [...(this.#held.get(clientId)?.values() ?? [])];
    const narrow = wishes.filter(({ isExtra }) => !isExtra);
    const isUnsaid = narrow.length === 0 || (clientId !== ALL && this.#attending.some((holder) => !narrow.some((wish) => wish.holder === holder)));
    const base = narrow.reduce<Wish>(union, isUnsaid ? this.#unsaid(clientId) : NOTHING);
    return wishes.filter(({ isExtra }) => isExtra).reduce<Wish>(union, base);
  }

  get #attending(): string[] {
    return [...(this.#held.get(REST)?.values() ?? [])].map(({ holder }) => holder);
  }

  #unsaid(clientId: string): Wish {
    if (clientId !== ALL && this.#selected) return NOTHING;
    return clientId === ALL ? EVENTS : this.wanted(ALL);
  }

  #of(holder: string, clientId: string): Wish {
    return this.#held.get(clientId)?.get(keyOf(holder, false)) ?? this.#unsaid(clientId);
  }

  #set(holder: string, clientId: string, wish: Wish): void {
    this.#put({ ...wish, holder, clientId, isExtra: false });
  }

  #put(wish: HeldWish): void {
    const wishes = this.#held.get(wish.clientId) ?? new Map<string, HeldWish>();
    this.#held.set(wish.clientId, wishes.set(keyOf(wish.holder, wish.isExtra), wish));
  }

  #drop(holder: string, clientId: string, isExtra: boolean): void {
    const wishes = this.#held.get(clientId);
    wishes?.delete(keyOf(holder, isExtra));
    if (wishes?.size === 0) this.#held.delete(clientId);
  }
}

const keyOf = (holder: string, isExtra: boolean): string => `${holder} ${isExtra ? "extra" : "narrow"}`;

export const clientsOf = ({ client_id, client_ids }: SubscriptionFrame): string[] => client_ids ?? [client_id ?? ALL];

/** What a frame by itself asks for; null where it takes something away. */
export const askedOf = (frame: SubscriptionFrame): Wish | null => (frame.type === "subscribe" ? wishOf(frame) : null);

const wishOf = ({ topics, min_severity }: ClientFrameOf<"subscribe">): Wish => ({
  topics: topics ?? EVENTS.topics,
  minSeverity: min_severity ?? null,
});

const without = ({ topics, minSeverity }: Wish, gone: readonly Topic[]): Wish => ({
  topics: topics.filter((topic) => !gone.includes(topic)),
  minSeverity,
});
