import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, render, screen } from "@testing-library/react";
import { StrictMode, useMemo } from "react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Feed, type LiveQuery } from "../live/feed.js";
import { FeedContext, useLive } from "../live/useLive.js";
import { applyToCentre, type Centre, centreOf, NO_FILTER } from "../state/centre.js";
import { alert, alertEvent, page, STREAM } from "../testing/events.js";
import { observe } from "@/pages/live/serverClock.js";

const newAlert = (seq: number) => alertEvent(seq, { ...alert({ id: `a${seq}` }), change: "created" });

class Server {
  fetches = 0;
  at = 10;
  /** Ids of what it has, newest first. */
  ids: string[] = [];
  release: (() => void) | null = null;
  holds = false;
  query: LiveQuery<Centre> = {
    queryKey: ["live", "test"],
    apply: applyToCentre,
    fetch: async (previous) => {
      this.fetches += 1;
      this.previous = previous;
      const answer = page(this.ids.map((id) => alert({ id })), { positions: { [STREAM]: this.at } });
      if (this.holds) await new Promise<void>((resolve) => (this.release = resolve));
      return centreOf(NO_FILTER, answer);
    },
  };
  previous: Centre | undefined;
}

function Found({ server }: { server: Server }) {
  const query = useMemo(() => server.query, [server]);
  const { data } = useLive(query);
  return <output>{data ? `${data.found}: ${data.alerts.map(({ id }) => id).join(" ")}` : "loading"}</output>;
}

let queries: QueryClient;
let feed: Feed;
let server: Server;

const show = () =>
  render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <FeedContext value={feed}>
          <Found server={server} />
        </FeedContext>
      </QueryClientProvider>
    </StrictMode>,
  );
const pass = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));
const shown = () => screen.getByRole("status").textContent;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date", "performance", "requestAnimationFrame", "cancelAnimationFrame"] });
  queries = new QueryClient();
  feed = new Feed(queries);
  server = new Server();
});
afterEach(() => {
  queries.clear();
  vi.useRealTimers();
  observe(new Date().toISOString());
});

describe("the feed over the server's midnight", () => {
  const begin = async (local: string): Promise<void> => {
    vi.useFakeTimers();
    vi.setSystemTime(new Date(local));
    observe("2026-01-15T23:59:00Z");
    feed = new Feed(queries);
    show();
    await pass(1000);
  };

  it.each(["2026-01-15T23:59:00Z", "2026-01-15T12:00:00Z", "2026-01-16T14:59:00Z"])("fetches, without an event, where this clock says %s", async (local) => {
    await begin(local);
    await pass(58_000);
    expect(server.fetches).toBe(1);
    server.ids = ["of-the-new-day"];
    await pass(13_000);
    expect(server.fetches).toBe(2);
    expect(shown()).toBe("1: of-the-new-day");
    await pass(3_600_000);
    expect(server.fetches).toBe(2);
  });

  it("fetches after a sleep over it", async () => {
    await begin("2026-01-15T23:59:00Z");
    vi.setSystemTime(new Date("2026-01-16T08:00:00Z"));
    await pass(7000);
    expect(server.fetches).toBe(2);
  });
});

describe("the feed", () => {
  it("applies what comes, in one go", async () => {
    show();
    await pass(10);
    const writes = vi.spyOn(queries, "setQueryData");
    for (let seq = 11; seq < 31; seq += 1) feed.take(newAlert(seq));
    await pass(200);
    expect(shown()).toMatch(/^20: /);
    expect(writes).toHaveBeenCalledTimes(1);
    expect(server.fetches).toBe(1);
  });

  it("adds to a snapshot what came while it was fetched, and what it holds already not twice", async () => {
    server.holds = true;
    show();
    await pass(10);
    feed.take(newAlert(10));
    feed.take(newAlert(11));
    await pass(500);
    expect(shown()).toBe("loading");
    server.release!();
    await pass(500);
    expect(shown()).toBe("1: a11");
  });

  it("fetches a stale document again, at most every five seconds", async () => {
    server.query.apply = (document) => ({ ...document, isStale: true });
    show();
    await pass(10);
    for (let seq = 11; seq < 111; seq += 1) {
      feed.take(newAlert(seq));
      await pass(100);
    }
    await pass(6000);
    expect(server.fetches).toBeGreaterThanOrEqual(3);
    expect(server.fetches).toBeLessThanOrEqual(4);
  });

  it("begins anew after a resync", async () => {
    show();
    await pass(10);
    feed.take(newAlert(11));
    await pass(200);
    server.at = 500;
    server.ids = ["fresh"];
    feed.renew();
    await pass(200);
    expect(shown()).toBe("1: fresh");
    expect(server.previous).toBeUndefined();
  });

  it("keeps a document right that nobody looks at for a while", async () => {
    const { unmount } = show();
    await pass(10);
    unmount();
    feed.take(newAlert(11));
    await pass(200);
    show();
    expect(shown()).toBe("1: a11");
    expect(server.fetches).toBe(1);
  });
});
