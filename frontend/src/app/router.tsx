/** Addresses below `/app/`, by the History API: where we are, and links that go elsewhere without loading a page. */

import { type AnchorHTMLAttributes, type MouseEvent, type ReactNode, useMemo, useSyncExternalStore } from "react";

export const BASE = "/app/";

const listeners = new Set<() => void>();
const tell = (): void => {
  for (const listener of [...listeners]) listener();
};
addEventListener("popstate", tell);

const subscribe = (listener: () => void): (() => void) => {
  listeners.add(listener);
  return () => void listeners.delete(listener);
};
const current = (): string => location.pathname + location.search;

/** Go to `to`, an address below `BASE`; `replace` leaves no entry in the history. */
export function navigate(to: string, { replace = false } = {}): void {
  const isElsewhere = new URL(to, location.href).pathname !== location.pathname;
  history[replace ? "replaceState" : "pushState"](null, "", to);
  if (isElsewhere) {
    scrollTo(0, 0);
    document.getElementById("main")?.focus({ preventScroll: true });
  }
  tell();
}

export interface Place {
  /** The path's parts below `BASE`: `["clients", "…"]`. */
  parts: readonly string[];
  query: URLSearchParams;
}

export function usePlace(): Place {
  const address = useSyncExternalStore(subscribe, current);
  return useMemo(() => placeOf(address), [address]);
}

export function placeOf(address: string): Place {
  const { pathname, searchParams } = new URL(address, location.origin);
  const parts = pathname.slice(BASE.length).split("/").filter(Boolean).map(decodeURIComponent);
  return { parts, query: searchParams };
}

export const clientPath = (id: string): string => `${BASE}clients/${encodeURIComponent(id)}/`;
export const alertsPath = (query?: URLSearchParams): string => `${BASE}alerts/${query?.size ? `?${query}` : ""}`;
export const connectionPath = `${BASE}connection/`;

interface LinkProps extends AnchorHTMLAttributes<HTMLAnchorElement> {
  to: string;
  children: ReactNode;
}

/** A link that stays in the page. With a modifier key, or another button, it is like any other. */
export function Link({ to, onClick, ...rest }: LinkProps): ReactNode {
  const follow = (click: MouseEvent<HTMLAnchorElement>): void => {
    onClick?.(click);
    const isPlain = click.button === 0 && !click.metaKey && !click.ctrlKey && !click.shiftKey && !click.altKey;
    if (!isPlain || click.defaultPrevented) return;
    click.preventDefault();
    navigate(to);
  };
  return <a href={to} onClick={follow} {...rest} />;
}
