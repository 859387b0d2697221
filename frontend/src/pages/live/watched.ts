/** Who watches what, as people read it. No DOM. */

import { count, plural } from "./format.js";
import { API, get } from "./rest.js";

export interface Watched {
  msp_watchers: number;
  client_watchers: number;
  /** Those whose names this user may see. */
  watchers: { user: string; role: string }[];
}

/** The answer of `ws/presence`: only what somebody watches. */
export interface PresenceOverview {
  clients: Record<string, Watched>;
  /** Who watches all of the MSP's clients; null for a client's user. */
  msp: Watched | null;
}

export const presence = (): Promise<PresenceOverview> => get(`${API}/ws/presence`);

const ROLES: Record<string, string> = {
  msp_admin: "MSP administrator",
  msp_user: "MSP user",
  client_admin: "Client administrator",
  client_user: "Client user",
};
export const roleName = (role: string | null): string => ROLES[role ?? ""] ?? "No role";

export const peopleIn = ({ msp_watchers: msp, client_watchers: client }: Watched): number => msp + client;

export const watching = (people: number): string => (people === 1 ? "1 person watching" : `${count(people)} people watching`);

/** Who watches this client and not the MSP as a whole, as an MSP's user sees it: the server counts those in where anybody else is. */
export function watchersOf({ msp, clients }: PresenceOverview, clientId: string): Watched["watchers"] {
  const everywhere = new Set(msp?.watchers.map(({ user }) => user));
  return (clients[clientId]?.watchers ?? []).filter(({ user }) => !everywhere.has(user));
}

export const viewers = (people: number): string => (people > 0 ? ` · ${plural(people, "viewer")}` : "");

export interface Connected {
  /** Of the place and the user: a user may watch several clients. */
  key: string;
  user: string;
  role: string;
  where: string;
}

/** Everybody who is connected, the MSP's own who watch all first. */
export function connected(overview: PresenceOverview, clientName: (id: string) => string | undefined): Connected[] {
  const places = [
    { id: "msp", where: "All clients", watchers: overview.msp?.watchers ?? [] },
    ...Object.keys(overview.clients).map((id) => ({ id, where: clientName(id) ?? "A client", watchers: watchersOf(overview, id) })),
  ];
  return places.flatMap(({ id, where, watchers }) =>
    watchers.map(({ user, role }) => ({ key: `${id} ${user}`, user, role: roleName(role), where })),
  );
}

/** Two letters of a name. */
export const initials = (name: string): string =>
  name
    .split(/[\s._-]+/)
    .map((word) => word.charAt(0))
    .join("")
    .slice(0, 2)
    .toUpperCase();

/** Which of the five colours a name always has, from 1. */
export const tint = (name: string): number => ([...name].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % 5) + 1;
