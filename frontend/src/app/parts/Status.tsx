/** The state of the connection, in the bar on top. */

import { type ReactNode, useRef } from "react";
import { describe, type Mood } from "@/pages/live/condition.js";
import { useLink, useStanding } from "../live/Live.js";
import { connectionPath, Link } from "../router.js";
import { useNow } from "./useNow.js";

const ANNOUNCED: Partial<Record<Mood, string>> = {
  live: "Live.",
  reconnecting: "The connection is lost; reconnecting.",
  stale: "This page is not up to date: there is no connection.",
};

export function Status(): ReactNode {
  useNow(); // seconds count down
  const standing = useStanding();
  const { client } = useLink();
  const freshAt = useRef(Date.now());
  const now = Date.now();
  freshAt.current = standing.state === "live" ? now : (standing.lastMessageAt ?? freshAt.current);
  const { mood, text, detail, canRetry } = describe(standing, freshAt.current, now);
  return (
    <div className="status" data-state={mood}>
      <Link className="status-link" to={connectionPath} aria-label={`Connection: ${text}`}>
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
