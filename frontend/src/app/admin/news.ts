/** When to look: by the stream, or every few seconds for who has none. The page itself is asked for again, so Django renders everything. */

import { describe } from "@/pages/live/condition.js";
import { exponentialBackoff } from "@/services/timing.js";
import { WebSocketClient } from "@/services/websocket.js";
import type { FrameOf } from "@/services/protocol.js";
import { API } from "@/pages/live/rest.js";
import { identityHeader, pageIdentity, startOver, startOverIfOther } from "@/pages/live/user.js";
import type { Bar } from "./bar.js";

const POLL_MS = 10_000;
/** However many events there are, the page is asked for at most so often. */
const REST_MS = 1500;

export interface News {
  /** Say whether an alert's event matters to this page. */
  matters(frame: FrameOf<"alert">): boolean;
  /** The page as Django renders it now; null if it is gone. */
  show(page: Document | null): void;
}

/** Keep looking for as long as the page is there. */
export function follow(bar: Bar, news: News): void {
  const look = once(async () => {
    try {
      news.show(await fetchPage());
    } catch {
      bar.say("stale", "Not live: the server does not answer");
    }
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") look();
  });
  if (bar.hasStream) stream(bar, news, look);
  else poll(bar, look);
}

function stream(bar: Bar, news: News, look: () => void): void {
  const client = new WebSocketClient(`${API}/ws/engagement`, null, {
    backoff: exponentialBackoff({ attempts: Infinity, maxMs: 30_000 }),
    ...pageIdentity(),
  });
  startOverIfOther(client);
  client.on("problem", reportError);
  const started = Date.now();
  const say = (): void => {
    const { mood, text } = describe(client.getSnapshot(), client.getSnapshot().lastMessageAt ?? started, Date.now());
    bar.say(mood, text);
  };
  client.send({ type: "subscribe", topics: ["alert"] });
  client.on("alert", (frame) => {
    if (news.matters(frame)) look();
  });
  client.on("resync", look);
  client.on("connection", look); // something may have happened since the page was rendered
  client.subscribe(say);
  setInterval(say, 1000);
  say();
  client.connect().catch(say);
}

function poll(bar: Bar, look: () => void): void {
  bar.say("poll", `Looked at every ${POLL_MS / 1000} s; live updates need an MSP's or a client's account`);
  setInterval(() => {
    if (document.visibilityState === "visible") look();
  }, POLL_MS);
}

async function fetchPage(): Promise<Document | null> {
  const response = await fetch(location.href, { credentials: "same-origin", cache: "no-store", headers: identityHeader() });
  if (response.status === 409) startOver();
  if (response.status === 404 || (response.redirected && new URL(response.url).pathname !== location.pathname)) return null;
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

/** `work`, but never twice at once and not again before a rest; what was asked for meanwhile is done after it. */
function once(work: () => Promise<void>): () => void {
  let isBusy = false;
  let isWanted = false;
  const run = async (): Promise<void> => {
    isWanted = false;
    isBusy = true;
    await work();
    setTimeout(() => {
      isBusy = false;
      if (isWanted) void run();
    }, REST_MS);
  };
  return () => {
    isWanted = true;
    if (!isBusy) void run();
  };
}
