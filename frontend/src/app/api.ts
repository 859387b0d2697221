/** What the dashboard asks the server for. */

import { API, get, patch, post } from "@/pages/live/rest.js";
import type { Alert } from "./state/alerts.js";
import type { Filter } from "./state/centre.js";
import { restQuery } from "./state/centre.js";
import type { ActivityData, FiguresAnswer } from "./state/dashboard.js";
import type { AlertPage, OverviewData } from "./state/overview.js";

/** The most that the server gives at once. */
export const PAGE = 200;
const MET = 100;

export interface Stats {
  total_connections: number;
  client_connections: Record<string, number>;
  msp_connections: Record<string, number>;
  processes: number;
}

export const socketPath = `${API}/ws/engagement`;

export const newestAlerts = (clientId?: string): Promise<AlertPage> =>
  get(`${API}/alerts/?page_size=${MET}${clientId ? `&client=${clientId}` : ""}`);
export const overviewData = (): Promise<OverviewData> => get("/overview/data/");
export const figures = (clientId: string): Promise<FiguresAnswer> => get(`${API}/clients/${clientId}/dashboard`);
export const activity = (clientId: string): Promise<ActivityData> => get(`/clients/${clientId}/activity/`);
export const stats = (): Promise<Stats> => get(`${API}/ws/stats`);

/** A page of the alerts that the filter finds, newest first; with `upTo` (ISO 8601), of those raised until then. */
export function alertPage(filter: Filter, upTo?: string, page = 1): Promise<AlertPage> {
  const query = restQuery(filter);
  query.set("page_size", String(PAGE));
  if (page > 1) query.set("page", String(page));
  // The API's limit is exclusive and the alerts of one moment may lie on both sides of a page's end: ask for a bit more.
  if (upTo) query.set("created_before", new Date(Date.parse(upTo) + 1).toISOString());
  return get(`${API}/alerts/?${query}`);
}

export const acknowledge = (id: string): Promise<Alert> => post(`${API}/alerts/${id}/acknowledge/`);
export const change = (id: string, what: { status?: string; assignee?: string | null }): Promise<Alert> =>
  patch(`${API}/alerts/${id}/`, what);
export const oneAlert = (id: string): Promise<Alert> => get(`${API}/alerts/${encodeURIComponent(id)}/`);

export interface ClientInfo {
  id: string;
  name: string;
  industry: string;
  status: string;
}

/** All clients that the user sees, by name. */
export async function allClients(): Promise<ClientInfo[]> {
  const clients: ClientInfo[] = [];
  for (let page = 1, hasMore = true; hasMore; page += 1) {
    const answer = await get<{ next: string | null; results: ClientInfo[] }>(`${API}/clients/?page_size=${PAGE}&page=${page}`);
    clients.push(...answer.results);
    hasMore = answer.next !== null;
  }
  return clients;
}
