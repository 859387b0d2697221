/** The state of the connection, in the bar on top. */

import type { RealtimeClient } from "../../services/client.js";
import { type Condition, describe, type Mood } from "./condition.js";
import { element } from "./dom.js";

const ANNOUNCED: Partial<Record<Mood, string>> = {
  live: "Live again.",
  reconnecting: "The connection is lost; reconnecting.",
  stale: "This page is not up to date: there is no connection.",
};

export class StatusLine {
  readonly #root = element("status");
  readonly #text = element("status-text");
  readonly #detail = element("status-detail");
  readonly #retry = element("status-retry");
  readonly #announcement = element("status-announcement");
  #client: RealtimeClient | null = null;
  #freshAt = Date.now();
  #announced: Mood | null = null;

  constructor() {
    this.#show({ mood: "connecting", text: "Connecting", detail: "", canRetry: false });
    this.#retry.addEventListener("click", () => void this.#client?.connect().catch(() => undefined)); // the state tells
    setInterval(() => this.#update(), 1000);
  }

  /** Show the state of `client` from now on. */
  watch(client: RealtimeClient): void {
    this.#client = client;
    client.subscribe(() => this.#update());
    this.#update();
  }

  /** Say something for good: there will be no connection. */
  end(text: string): void {
    this.#client = null;
    this.#show({ mood: "stale", text, detail: "", canRetry: false });
  }

  #update(): void {
    if (!this.#client) return;
    const snapshot = this.#client.getSnapshot();
    this.#freshAt = snapshot.state === "live" ? Date.now() : (snapshot.lastMessageAt ?? this.#freshAt);
    this.#show(describe(snapshot, this.#freshAt, Date.now()));
  }

  #show({ mood, text, detail, canRetry }: Condition): void {
    this.#root.dataset["state"] = mood;
    if (this.#text.textContent !== text) this.#text.textContent = text;
    if (this.#detail.textContent !== detail) this.#detail.textContent = detail;
    this.#retry.hidden = !canRetry;
    this.#announce(mood);
  }

  /** Say what matters to who does not see the bar: that the connection is lost, and that it is back. */
  #announce(mood: Mood): void {
    const said = ANNOUNCED[mood];
    if (said === undefined || mood === this.#announced) return;
    if (mood !== "live" || this.#announced !== null) this.#announcement.textContent = said;
    this.#announced = mood;
  }
}
