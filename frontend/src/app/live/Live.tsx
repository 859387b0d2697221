/** The dashboard's one connection, and what hangs on it: the feed of documents, the toast of new alerts, presence. */

import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useMemo } from "react";
import { useConnectionState, useWebSocket, type UseWebSocketResult } from "@/hooks/useWebSocket.js";
import { observe } from "@/pages/live/serverClock.js";
import { startOverIfOther } from "@/pages/live/user.js";
import type { Snapshot } from "@/services/client.js";
import { TOPICS } from "@/services/vocabulary.js";
import { socketPath } from "../api.js";
import { alertOf, isRaised } from "../state/alerts.js";
import { alertToast } from "../parts/toastStore.js";
import type { Feed } from "./feed.js";
import type { Journal } from "./journal.js";
import { FeedContext } from "./useLive.js";

const ADDRESS = { path: socketPath };

interface Link extends Pick<UseWebSocketResult, "client" | "connect" | "disconnect" | "isConnected"> {
  journal: Journal;
}

const LinkContext = createContext<Link | null>(null);

export function useLink(): Link {
  const link = useContext(LinkContext);
  if (!link) throw new Error("useLink needs <Live> around it.");
  return link;
}

/** How the connection stands. */
export const useStanding = (): Snapshot => useConnectionState(ADDRESS);

interface Props {
  /** Both outlive the connection, which another encoding replaces. */
  feed: Feed;
  journal: Journal;
  children: ReactNode;
}

export function Live({ feed, journal, children }: Props): ReactNode {
  const queries = useQueryClient();
  const { client, connect, disconnect, isConnected } = useWebSocket(ADDRESS);

  useEffect(() => startOverIfOther(client), [client]);
  useEffect(() => feed.follow(client), [feed, client]);
  useEffect(() => journal.follow(client), [journal, client]);
  useEffect(() => {
    client.send({ type: "subscribe", topics: [...TOPICS] });
    const stops = [
      client.on("problem", reportError),
      client.on("presence", () => void queries.invalidateQueries({ queryKey: ["presence"] })),
      client.on("connection", ({ timestamp }) => observe(timestamp)),
      client.on("pong", ({ server_time }) => observe(server_time)),
      client.on("alert", (frame) => {
        if (isRaised(frame)) alertToast.add(alertOf(frame));
      }),
    ];
    return () => stops.forEach((stop) => stop());
  }, [client, queries]);

  const link = useMemo(
    () => ({ client, connect, disconnect, isConnected, journal }),
    [client, connect, disconnect, isConnected, journal],
  );
  return (
    <FeedContext value={feed}>
      <LinkContext value={link}>{children}</LinkContext>
    </FeedContext>
  );
}
