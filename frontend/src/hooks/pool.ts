/**
 * One client per address for all components of a page: opened by the first that wants it, closed when the last has gone.
 * It is kept then, with its positions: who comes back to an address resumes there.
 */

import type { RealtimeClient } from "../services/client.js";
import { createClient, type SharedClientOptions } from "../services/sharing.js";
import type { Unsubscribe } from "../services/emitter.js";

export type ClientOptions = Partial<Omit<SharedClientOptions, "scope">>;
export interface Address {
  path: string;
  clientId?: string | null | undefined;
  scope?: "selected" | undefined;
}

interface Entry {
  client: RealtimeClient;
  leases: number;
}

export class ClientPool {
  readonly #options: ClientOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(options: ClientOptions = {}) {
    this.#options = options;
  }

  /** The client of an address. It connects when somebody leases it. */
  get(address: Address): RealtimeClient {
    return this.#entry(address).client;
  }

  /** Connect the client of `address`, and keep it connected until the returned function was called. */
  lease(address: Address): Unsubscribe {
    const entry = this.#entry(address);
    entry.leases += 1;
    entry.client.connect().catch(() => undefined); // the snapshot has the error
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      entry.leases -= 1;
      // Not at once: React's StrictMode unmounts and mounts again, and so does a change of pages.
      setTimeout(() => {
        if (entry.leases === 0) entry.client.disconnect();
      }, 0);
    };
  }

  #entry(address: Address): Entry {
    const key = keyOf(address);
    let entry = this.#entries.get(key);
    if (!entry) {
      const options = address.scope ? { ...this.#options, scope: address.scope } : this.#options;
      entry = { client: createClient(address.path, address.clientId, options), leases: 0 };
      this.#entries.set(key, entry);
    }
    return entry;
  }
}

const keyOf = ({ path, clientId, scope }: Address): string => JSON.stringify([path, clientId ?? null, scope ?? null]);
