/** What the live pages share: the page's own data, and the way from there to a live model. */

import type { RealtimeClient } from "../../services/client.js";
import type { EventFrame, FrameOf } from "../../services/protocol.js";
import { type Alert, alertOf, isNew } from "./alertBook.js";
import { connect } from "./connection.js";
import { letDeedsBeDone } from "./deeds.js";
import { type Followed, Follower } from "./following.js";
import { followPresence } from "./presence.js";
import type { RestError } from "./rest.js";
import { StatusLine } from "./status.js";
import { letTimePass } from "./times.js";
import { AlertToast } from "./toasts.js";
import type { PresenceOverview } from "./watched.js";

const UNKNOWN = "00000000-0000-0000-0000-000000000000";

/** The data attributes of `<main>`. */
export function pageData(name: string): string {
  const value = document.querySelector<HTMLElement>("main")?.dataset[name];
  if (value === undefined) throw new Error(`The page has no data-${name}.`);
  return value;
}

/** The address of a client's page. */
export const clientUrl = (id: string): string => pageData("clientUrl").replace(UNKNOWN, id);

export interface LivePage {
  /** Follow one client; by default all that the visitor sees. */
  clientId?: string;
  clientName: (id: string) => string | undefined;
  fetch: Followed["fetch"];
  apply: (frame: EventFrame) => void;
  isStale: () => boolean;
  /** The model changed: render, soon. */
  changed: () => void;
  alert: (id: string) => Alert | undefined;
  /** An alert was changed from here. */
  done: (alert: Alert) => void;
  /** Each event once, unlike `apply`. */
  heard?: (frame: EventFrame) => void;
  /** Show who is connected. */
  present?: (overview: PresenceOverview) => void;
  /** Events were lost for good: what was counted from them has to be fetched anew. */
  lost?: () => void;
}

/** Make the page live. */
export function goLive(page: LivePage): void {
  const status = new StatusLine();
  const toast = new AlertToast(page.clientName);
  let client: RealtimeClient | null = null;
  const follower = new Follower(
    {
      ...page,
      refused: (error) => status.end(refusal(error)),
    },
    (cursor) => {
      client = connect(cursor, page.clientId);
      client.on("alert", (frame: FrameOf<"alert">) => {
        if (isNew(frame)) toast.add(alertOf(frame));
      });
      for (const type of ["interaction_update", "alert"] as const) client.on(type, (frame: EventFrame) => page.heard?.(frame));
      client.on("resync", () => page.lost?.());
      if (page.present) followPresence(client, page.present);
      status.watch(client);
      return client;
    },
  );
  letTimePass();
  letDeedsBeDone({ username: pageData("username"), client: () => client, alert: page.alert, done: page.done });
  void follower.load();
}

function refusal({ status }: RestError): string {
  return status === 404 ? "No longer yours to see" : "Signed out: reload the page";
}
