/** The state of the connection, in the bar on top. */

import { type ReactNode, useSyncExternalStore } from "react";
import { describe, type Mood } from "@/pages/live/condition.js";
import { useLink, useStanding } from "../live/Live.js";
import { connectionPath, Link } from "../router.js";
import { useLocalNow } from "./useNow.js";

const ANNOUNCED: Partial<Record<Mood, string>> = {
  live: "Live.",
  reconnecting: "The connection is lost; reconnecting.",
  stale: "This page is not up to date: there is no connection.",
};

export function Status(): ReactNode {
  const now = useLocalNow();
  const standing = useStanding();
  const { client, journal } = useLink();
  const { freshAt, latencies } = useSyncExternalStore(journal.subscribe, journal.getSnapshot);
  const { mood, text, detail, canRetry } = describe({ ...standing, latencyMs: latencies.at(-1) ?? null }, freshAt, now);
  return (
    <div className="status" data-state={mood}>
      <Link className="status-link" to={connectionPath}>
        <span className="visually-hidden">Connection: </span>
        <span className="status-dot" aria-hidden="true" />
        <span className="status-text">{text}</span>
        <span className="status-detail">{detail}</span>
      </Link>
      {canRetry && (
        <button type="button" className="link-button" onClick={() => void client.connect().catch(() => undefined) /* the state tells */}>
          Try now
        </button>
      )}
      <span className="visually-hidden" role="status">
        {ANNOUNCED[mood] ?? ""}
      </span>
    </div>
  );
}
