/** Options for all hooks below it: where the server is, how to get a token, which encoding, whether tabs share. */

import { createContext, type ReactNode, useContext, useState } from "react";
import { type ClientOptions, ClientPool } from "./pool.js";
import { queryKeys, type QueryKeys } from "./queryKeys.js";

interface Realtime {
  pool: ClientPool;
  keys: QueryKeys;
}

/** Without a provider: the page's own server, and its session cookie. */
const RealtimeContext = createContext<Realtime>({ pool: new ClientPool(), keys: queryKeys });

export interface RealtimeProviderProps {
  /** Read once, when the provider mounts. Give it a `key` (the user's id) to begin anew for another user. */
  options?: ClientOptions;
  /** The query keys to invalidate, where they are not the library's. */
  keys?: QueryKeys;
  children?: ReactNode;
}

export function RealtimeProvider({ options, keys = queryKeys, children }: RealtimeProviderProps): ReactNode {
  const [pool] = useState(() => new ClientPool(options));
  const [value, setValue] = useState<Realtime>({ pool, keys });
  if (value.keys !== keys) setValue({ pool, keys });
  return <RealtimeContext value={value}>{children}</RealtimeContext>;
}

export const useRealtime = (): Realtime => useContext(RealtimeContext);
