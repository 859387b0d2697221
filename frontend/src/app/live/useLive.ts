/** A live document in a component, and the connection that keeps it so. */

import { useQuery, type UseQueryResult } from "@tanstack/react-query";
import { createContext, useContext, useEffect } from "react";
import type { Document } from "../state/document.js";
import type { Feed, LiveQuery } from "./feed.js";
import { RestError } from "@/pages/live/rest.js";

export const FeedContext = createContext<Feed | null>(null);

export function useFeed(): Feed {
  const feed = useContext(FeedContext);
  if (!feed) throw new Error("useFeed needs a FeedContext around it.");
  return feed;
}

/** The document of `query` (memoised by the caller): fetched when first looked at, kept right by events from then on. */
export function useLive<D extends Document>(query: LiveQuery<D>): UseQueryResult<D> {
  const feed = useFeed();
  const result = useQuery<D>({
    queryKey: query.queryKey,
    queryFn: () => feed.load(query),
    staleTime: Infinity,
    structuralSharing: false,
    retry: (failures, error) => !isRefusal(error) && failures < 4,
  });
  useEffect(() => feed.attend(query), [feed, query]);
  return result;
}

/** The server will not answer otherwise, however often it is asked. */
export const isRefusal = (error: Error): boolean => error instanceof RestError && error.status >= 400 && error.status < 500;
