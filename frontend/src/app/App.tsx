/** The dashboard: who is given what, and which view an address names. */

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { type ReactNode, useMemo, useState } from "react";
import { RealtimeProvider } from "@/hooks/RealtimeProvider.js";
import type { Encoding } from "@/services/encoding.js";
import type { Cursor } from "@/services/positions.js";
import { exponentialBackoff } from "@/services/timing.js";
import type { Boot } from "./boot.js";
import { EncodingContext, storedEncoding, storeEncoding } from "./live/encoding.js";
import { Feed } from "./live/feed.js";
import { Journal } from "./live/journal.js";
import { Live } from "./live/Live.js";
import { isRefusal } from "./live/useLive.js";
import { Assign } from "./parts/Assign.js";
import { BootContext, useMe } from "./parts/me.js";
import { Shell } from "./parts/Shell.js";
import { useTitle } from "./parts/useTitle.js";
import { BASE, Link, usePlace } from "./router.js";
import { AlertCentre } from "./views/AlertCentre.js";
import { ClientView } from "./views/ClientView.js";
import { Connection } from "./views/Connection.js";
import { Overview } from "./views/Overview.js";

/** Often enough that the latency shown is that of now. */
const PING_MS = 10_000;
/** A page that somebody looks at does not give up. */
const BACKOFF = { attempts: Infinity, firstMs: 1000, maxMs: 30_000 };
/** A document that nobody looks at is kept up to date for so long. */
const KEPT_MS = 60_000;

function newPage(): { queries: QueryClient; feed: Feed; journal: Journal } {
  const queries = new QueryClient({
    defaultOptions: {
      queries: {
        gcTime: KEPT_MS,
        refetchOnWindowFocus: false,
        refetchOnReconnect: false,
        retry: (failures, error) => !isRefusal(error) && failures < 3,
      },
    },
  });
  return { queries, feed: new Feed(queries), journal: new Journal() };
}

export function App({ boot }: { boot: Boot }): ReactNode {
  const [{ queries, feed, journal }] = useState(newPage);
  const [{ encoding, cursor }, setConnection] = useState({ encoding: storedEncoding(), cursor: boot.cursor });
  const choice = useMemo(
    () => ({
      encoding,
      choose: (next: Encoding, from: Cursor) => {
        storeEncoding(next);
        setConnection({ encoding: next, cursor: from });
      },
    }),
    [encoding],
  );
  const options = useMemo(
    () => ({ encoding, resumeFrom: cursor, pingIntervalMs: PING_MS, backoff: exponentialBackoff(BACKOFF), userId: boot.me.id }),
    [encoding, cursor, boot.me.id],
  );
  return (
    <BootContext value={boot}>
      <QueryClientProvider client={queries}>
        <EncodingContext value={choice}>
          <RealtimeProvider key={encoding} options={options}>
            <Live feed={feed} journal={journal}>
              <Assign>
                <Shell>
                  <View />
                </Shell>
              </Assign>
            </Live>
          </RealtimeProvider>
        </EncodingContext>
      </QueryClientProvider>
    </BootContext>
  );
}

function View(): ReactNode {
  const me = useMe();
  const { parts } = usePlace();
  const [section, id, ...rest] = parts;
  if (rest.length === 0) {
    if (section === undefined) return me.client_id === null ? <Overview /> : <ClientView key={me.client_id} clientId={me.client_id} />;
    if (section === "clients" && id !== undefined) return <ClientView key={id} clientId={id} />;
    if (section === "alerts" && id === undefined) return <AlertCentre />;
    if (section === "connection" && id === undefined) return <Connection />;
  }
  return <NotFound />;
}

function NotFound(): ReactNode {
  useTitle("Not found");
  return (
    <section className="door">
      <h1>There is nothing here</h1>
      <p className="lead">The address may be mistyped, or what it showed is gone.</p>
      <Link className="button" to={BASE}>
        Back to the dashboard
      </Link>
    </section>
  );
}
