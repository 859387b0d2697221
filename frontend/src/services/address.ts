/** Where to connect to. */

export interface AddressOptions {
  /** The server, such as `https://portal.example` or `wss://portal.example/api/v1`; by default the page's own, `/api/v1`. */
  baseUrl?: string;
  /** `selected`: follow only the clients that are subscribed to (MSP users). By default all of the user's scope. */
  scope?: "selected";
  /** Updates at most so many times a second (0.1 to 60), folded to the newest state; alerts at once. By default all, at once. */
  rate?: number;
  /** Whether the server may send several events in one frame; default true. */
  batch?: boolean;
  /** Whose connection this must be, by id: the server refuses anybody else's with `user_changed`. Name it where the login is a cookie. */
  userId?: string;
  /** Further query parameters. */
  params?: Readonly<Record<string, string>>;
}

/** The route of one client, where `path` is the general one; else `path` itself. */
export const routeOf = (path: string, clientId: string | undefined): string =>
  clientId ? path.replace(/\/ws\/engagement$/, `/ws/client/${encodeURIComponent(clientId)}/engagement`) : path;

export function addressOf(path: string, clientId: string | undefined, options: AddressOptions): string {
  const route = routeOf(path, clientId);
  // Proxies in front of a page often pass on `/api` alone; the portal answers there too.
  const ownApi = route.startsWith("/ws/") ? "/api/v1" : "";
  const base = options.baseUrl ?? (typeof location === "undefined" ? undefined : location.origin + ownApi);
  const isWhole = /^(ws|http)s?:/.test(route);
  if (!isWhole && !base) throw new TypeError("Outside a page, WebSocketClient needs the baseUrl option.");
  const url = new URL(isWhole ? route : `${base!.replace(/\/$/, "")}${route}`);
  url.protocol = url.protocol.replace("http", "ws");
  if (options.batch !== false) url.searchParams.set("batch", "1");
  const { scope, rate, userId: user, params } = options;
  for (const [key, value] of Object.entries({ scope, rate, user, ...params }))
    if (value !== undefined) url.searchParams.set(key, String(value));
  return url.href;
}
