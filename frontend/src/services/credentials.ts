/** The token: where it comes from, and when a new one is due. Without a `getToken` the browser's session cookie speaks for us. */

import { type Clock, Timer } from "./timing.js";

export interface TokenRequest {
  /** The last token expired, or soon will: answer with a new one, not with one kept. */
  refresh: boolean;
}
/** Answers with an access token, or with null or undefined to log in by cookie. Throw `UnauthorizedError` to give up. */
export type GetToken = (request: TokenRequest) => string | null | undefined | Promise<string | null | undefined>;

/** To be thrown by a `getToken` that knows there is no token to be had: the user must sign in again. */
export class UnauthorizedError extends Error {
  override name = "UnauthorizedError";
}

/** A new token is asked for so long before the old one expires, but never before 4/5 of its life are over. */
const LEAD_MS = 60_000;

export class Credentials {
  readonly #clock: Clock;
  readonly #getToken: GetToken | undefined;
  readonly #due: Timer;
  #stale = false;

  constructor(clock: Clock, getToken: GetToken | undefined) {
    this.#clock = clock;
    this.#getToken = getToken;
    this.#due = new Timer(clock);
  }

  get canRefresh(): boolean {
    return this.#getToken !== undefined;
  }

  get isStale(): boolean {
    return this.#stale;
  }

  /** The token expired: the next one must be new. */
  expire(): void {
    this.#stale = true;
  }

  /** The server took the token; call `renew` in time before it expires. `serverNow` makes up for a wrong clock here. */
  accepted(expiresAt: string | null, serverNow: string | null, renew: () => void): void {
    this.#stale = false;
    this.#due.clear();
    if (!this.#getToken || expiresAt === null) return;
    const now = serverNow === null ? this.#clock.now() : Date.parse(serverNow);
    const left = Date.parse(expiresAt) - now;
    if (!Number.isNaN(left)) this.#due.set(renew, left - Math.min(LEAD_MS, left / 5));
  }

  async token(refresh = this.#stale): Promise<string | undefined> {
    return (await this.#getToken?.({ refresh })) ?? undefined;
  }

  stop(): void {
    this.#due.clear();
  }
}
