/**
 * The query keys that live updates invalidate. Use them in your queries, or give `RealtimeProvider` your own.
 *
 * Ids must be elements of a key of their own: what stands before them is invalidated when nobody knows what was missed.
 */

import type { QueryKey } from "@tanstack/react-query";

export interface QueryKeys {
  dashboard(clientId: string): QueryKey;
  interactions(clientId: string): QueryKey;
  applicationInteractions(clientId: string, appId: string): QueryKey;
  alertsFeed(): QueryKey;
  alertsByClient(clientId: string): QueryKey;
}

export const queryKeys: QueryKeys = {
  dashboard: (clientId) => ["dashboard", clientId],
  interactions: (clientId) => ["interactions", clientId],
  applicationInteractions: (clientId, appId) => ["application-interactions", clientId, appId],
  alertsFeed: () => ["alerts", "feed"],
  alertsByClient: (clientId) => ["alerts", "by-client", clientId],
};
