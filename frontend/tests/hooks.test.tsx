import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, render, renderHook } from "@testing-library/react";
import { type ReactNode, StrictMode, useEffect } from "react";
import { beforeEach, describe, expect, it, vi } from "vitest";
import {
  queryKeys,
  RealtimeProvider,
  useClientEngagementWebSocket,
  useConnectionState,
  type UseEngagementWebSocketResult,
  useMSPEngagementWebSocket,
  usePresence,
  useWebSocket,
} from "@/hooks";
import { FakeServer } from "@/testing/fakeServer";
import { pass } from "./support";

let server: FakeServer;
let queries: QueryClient;

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  server = new FakeServer();
  queries = new QueryClient();
});

function Around({ children }: { children: ReactNode }): ReactNode {
  return (
    <StrictMode>
      <QueryClientProvider client={queries}>
        <RealtimeProvider options={server.clientOptions}>{children}</RealtimeProvider>
      </QueryClientProvider>
    </StrictMode>
  );
}

const wrapper = Around;
const wait = (ms = 0): Promise<void> => act(() => pass(ms));

describe("useWebSocket", () => {
  it("connects once when mounted, StrictMode or not, and disconnects when unmounted", async () => {
    const { result, unmount } = renderHook(() => useWebSocket({ clientId: "c-1" }), { wrapper });
    expect(result.current.isConnected).toBe(false);
    await wait();
    expect(result.current).toMatchObject({ isConnected: true, connectionState: "live", connectionError: null });
    expect(server.connections.map(({ url }) => url.pathname)).toEqual(["/ws/client/c-1/engagement"]);
    unmount();
    await wait();
    expect(server.open).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("waits for connect() without autoConnect, and lets go with disconnect()", async () => {
    const { result } = renderHook(() => useWebSocket({ autoConnect: false }), { wrapper });
    await wait();
    expect(server.connections).toHaveLength(0);
    act(() => result.current.connect());
    await wait();
    expect(result.current.isConnected).toBe(true);
    act(() => result.current.disconnect());
    await wait();
    expect(result.current.isConnected).toBe(false);
    expect(server.open).toHaveLength(0);
    act(() => result.current.connect());
    await wait();
    expect(result.current.isConnected).toBe(true);
  });

  it("shares one connection among components, until the last lets go", async () => {
    const first = renderHook(() => useWebSocket(), { wrapper });
    await wait();
    const { rerender } = render(<Two both />, { wrapper });
    await wait();
    expect(server.connections).toHaveLength(2); // another provider, another pool
    rerender(<Two both={false} />);
    await wait();
    expect(server.open).toHaveLength(2);
    first.unmount();
    await wait();
    expect(server.open).toHaveLength(1);
  });

  it("moves to another client with its option", async () => {
    const { rerender } = renderHook(({ id }) => useWebSocket({ clientId: id }), { wrapper, initialProps: { id: "a" } });
    await wait();
    rerender({ id: "b" });
    await wait();
    expect(server.open.map(({ url }) => url.pathname)).toEqual(["/ws/client/b/engagement"]);
  });

  it("calls back in pairs, with the newest callbacks, and tells of errors", async () => {
    const calls: string[] = [];
    const { rerender, unmount } = renderHook(
      ({ name }) =>
        useWebSocket({
          onConnect: () => calls.push(`${name} connect`),
          onDisconnect: () => calls.push(`${name} disconnect`),
          onError: (error) => calls.push(`${name} ${error.code} ${error.closeCode}`),
        }),
      { wrapper, initialProps: { name: "one" } },
    );
    await wait();
    rerender({ name: "two" });
    server.connection.break();
    await wait();
    await wait(3000);
    unmount();
    expect(calls).toEqual(["one connect", "two disconnect", "two closed 1006", "two connect", "two disconnect"]);
  });

  it("says why there is no connection", async () => {
    server.refusal = { closeCode: 1008, code: "no_tenant", message: "You belong to no tenant." };
    const { result } = renderHook(() => useWebSocket(), { wrapper });
    await wait();
    expect(result.current).toMatchObject({
      isConnected: false,
      connectionState: "closed",
      connectionError: "You belong to no tenant.",
    });
  });

  it("keeps handlers over reconnects, and its functions the same", async () => {
    const { result } = renderHook(() => useWebSocket(), { wrapper });
    await wait();
    const { subscribe, send } = result.current;
    const handler = vi.fn();
    const off = subscribe("alert", handler);
    server.connection.break();
    await wait();
    await wait(3000);
    expect(result.current.subscribe).toBe(subscribe);
    server.alert("c-1", {});
    await wait();
    expect(handler).toHaveBeenCalledOnce();
    expect(send({ type: "ping" })).toBe(true);
    off();
  });
});

function Two({ both }: { both: boolean }): ReactNode {
  return (
    <>
      <One />
      {both && <One />}
    </>
  );
}

function One(): ReactNode {
  return useWebSocket().connectionState;
}

describe("useClientEngagementWebSocket", () => {
  it("has the latest of each kind", async () => {
    const { result } = renderHook(() => useClientEngagementWebSocket("c-1"), { wrapper });
    await wait();
    expect(result.current).toMatchObject({
      latestEngagementData: null,
      latestInteractionData: null,
      latestAlert: null,
    });
    server.engagement("c-1", { departments: [{ department: "Legal" }] });
    server.interaction("c-1", { app_id: "app-1", interaction_count: 5 });
    for (const details of ["first", "last"]) server.alert("c-1", { severity: "low", details });
    await wait();
    expect(result.current).toMatchObject({
      latestEngagementData: { departments: [{ department: "Legal" }] },
      latestInteractionData: { interaction_count: 5 },
      latestAlert: { details: "last" },
    });
  });

  it("subscribes to further clients, and ends that", async () => {
    const { result } = renderHook(() => useMSPEngagementWebSocket({ scope: "selected" }), { wrapper });
    act(() => result.current.subscribeToClient("c-2", { topics: ["alert"], min_severity: "high" }));
    await wait();
    act(() => result.current.unsubscribeFromClient("c-2"));
    await wait();
    expect(server.connection.received.map(({ type }) => type)).toEqual(["subscribe", "unsubscribe"]);
    expect(server.connection.receivedOf("subscribe")).toMatchObject([
      { client_id: "c-2", topics: ["alert"], min_severity: "high" },
    ]);
  });

  it("shows which clients are not followed", async () => {
    server.unknown.add("c-9");
    const { result } = renderHook(() => useMSPEngagementWebSocket({ scope: "selected" }), { wrapper });
    act(() => ["c-1", "c-9", "c-2"].forEach((id) => result.current.subscribeToClient(id)));
    await wait();
    expect(result.current.refused).toEqual({ "c-9": "not_found" });
    expect(server.connection.streams).toEqual(["client.c-1", "client.c-2"]);
  });

  it("gets what it asked for, and leaves the others theirs when it is unmounted", async () => {
    const found: Record<string, UseEngagementWebSocketResult> = {};
    const Part = ({ topic }: { topic: "alert" | "interaction_update" }): ReactNode => {
      const socket = useMSPEngagementWebSocket({ scope: "selected" });
      const { subscribeToClient } = socket;
      useEffect(() => void (found[topic] = socket));
      useEffect(() => subscribeToClient("c-1", { topics: [topic] }), [subscribeToClient, topic]);
      return null;
    };
    const show = (isWhole: boolean): ReactNode => (
      <>
        <Part topic="alert" />
        {isWhole && <Part topic="interaction_update" />}
      </>
    );
    const { rerender } = render(show(true), { wrapper });
    await wait();
    act(() => {
      server.alert("c-1", { details: "one" });
      server.interaction("c-1", { interaction_count: 5 });
    });
    await wait();
    expect(server.connections).toHaveLength(1);
    expect(found["alert"]).toMatchObject({ latestAlert: { details: "one" }, latestInteractionData: null });
    expect(found["interaction_update"]).toMatchObject({ latestAlert: null, latestInteractionData: { interaction_count: 5 } });
    rerender(show(false));
    await wait(10);
    expect(server.connection.filterOf("c-1").topics).toEqual(["alert"]);
  });

  it("works without a QueryClient", async () => {
    const bare = ({ children }: { children: ReactNode }): ReactNode => (
      <RealtimeProvider options={server.clientOptions}>{children}</RealtimeProvider>
    );
    const { result } = renderHook(() => useClientEngagementWebSocket("c-1"), { wrapper: bare });
    await wait();
    server.alert("c-1", { details: "one" });
    await wait();
    expect(result.current.latestAlert).toEqual({ details: "one" });
  });
});

describe("invalidation", () => {
  /** A client's hook, connected, with the refetch of the first connection behind it. */
  async function follow(): Promise<{ invalidated: () => unknown[][]; count: () => number }> {
    const spy = vi.spyOn(queries, "invalidateQueries");
    renderHook(() => [useClientEngagementWebSocket("c-1"), useClientEngagementWebSocket("c-1")], { wrapper });
    await wait(5000);
    const keys = (): unknown[][] => spy.mock.calls.map(([filter]) => [...(filter?.queryKey ?? [])]);
    expect(keys()).toEqual([
      ["dashboard"],
      ["interactions"],
      ["application-interactions"],
      ["alerts", "by-client"],
      ["alerts", "feed"],
    ]);
    spy.mockClear();
    return { invalidated: keys, count: () => spy.mock.calls.length };
  }

  it.each([
    ["engagement_update", {}, [queryKeys.dashboard("c-1")]],
    ["alert", {}, [queryKeys.alertsFeed(), queryKeys.alertsByClient("c-1"), queryKeys.dashboard("c-1")]],
    [
      "interaction_update",
      { app_id: "app-1", interaction_count: 1 },
      [queryKeys.dashboard("c-1"), queryKeys.interactions("c-1"), queryKeys.applicationInteractions("c-1", "app-1")],
    ],
    [
      "interaction_update",
      { agent_id: "agent-1", interaction_count: 1 },
      [queryKeys.dashboard("c-1"), queryKeys.interactions("c-1")],
    ],
  ] as const)("of %s", async (type, data, keys) => {
    const { invalidated } = await follow();
    server.emit(type, "c-1", data as never);
    await wait(249);
    expect(invalidated()).toEqual([]);
    await wait(1);
    expect(invalidated()).toEqual(keys);
  });

  it("folds a burst into one refetch, of two hooks too", async () => {
    const { count } = await follow();
    for (let i = 0; i < 500; i++) server.alert("c-1", {});
    await wait(10_000);
    expect(count()).toBe(3);
  });

  it("goes on about once a second under a steady stream, and never leaves the last event out", async () => {
    const { count } = await follow();
    for (let i = 0; i < 100; i++) {
      server.engagement("c-1", {});
      await wait(100);
    }
    expect(count()).toBe(8);
    await wait(2000);
    expect(count()).toBe(9);
  });

  it("waits for a slow refetch, and refetches what came meanwhile", async () => {
    const fetched: number[] = [];
    let answer: () => void = () => undefined;
    queries.getQueryCache().clear();
    const { useQuery } = await import("@tanstack/react-query");
    renderHook(
      () => {
        useClientEngagementWebSocket("c-1");
        return useQuery({
          queryKey: queryKeys.dashboard("c-1"),
          queryFn: () =>
            new Promise<number>((resolve) => (answer = () => resolve(fetched.push(server.head("client.c-1"))))),
        });
      },
      { wrapper },
    );
    await wait(250);
    answer();
    await wait(2000);
    server.engagement("c-1", {});
    await wait(1000);
    server.engagement("c-1", {}); // while the fetch is under way
    await wait(30_000);
    expect(fetched).toEqual([0]);
    answer();
    await wait(2000);
    answer();
    await wait(5000);
    expect(fetched).toEqual([0, 2, 2]);
  });

  it("refetches all after a resync", async () => {
    const { count } = await follow();
    server.broadcast({ type: "resync", stream: "client.c-1", reason: "slow", seq: 9, epoch: "epoch-1" });
    await wait(250);
    expect(count()).toBe(5);
  });

  it("does not refetch after a reconnect that resumed", async () => {
    const { count } = await follow();
    server.connection.break();
    await wait(0);
    await wait(10_000);
    expect(server.connections).toHaveLength(2);
    expect(count()).toBe(0);
  });

  it("ends with the last hook", async () => {
    const spy = vi.spyOn(queries, "invalidateQueries");
    const { unmount } = renderHook(() => useClientEngagementWebSocket("c-1"), { wrapper });
    const other = renderHook(() => useWebSocket({ clientId: "c-1" }), { wrapper });
    await wait(5000);
    unmount();
    spy.mockClear();
    server.alert("c-1", {});
    await wait(5000);
    expect(spy).not.toHaveBeenCalled();
    other.unmount();
  });
});

describe("useConnectionState", () => {
  it("tells how the connection stands, and opens none", async () => {
    const { result } = renderHook(() => useConnectionState({ clientId: "c-1" }), { wrapper });
    await wait();
    expect(result.current.state).toBe("idle");
    expect(server.connections).toHaveLength(0);
  });

  it("follows the connection that another hook holds", async () => {
    const { result } = renderHook(() => [useConnectionState(), useWebSocket()] as const, { wrapper });
    await wait();
    server.alert("c-1", {});
    await wait(30_000);
    await wait(1000);
    expect(result.current[0]).toMatchObject({
      state: "live",
      positions: { "msp.msp-1": 1 },
      latencyMs: 0,
      error: null,
    });
    server.connection.break();
    await wait();
    expect(result.current[0]).toMatchObject({
      state: "reconnecting",
      reconnectAttempt: 1,
      nextRetryAt: Date.now() + 3000,
    });
  });
});

describe("usePresence", () => {
  const frame = { type: "presence" as const, client_id: "c-1", timestamp: "2026-01-01T00:00:00Z" };
  const [ann, bob] = [
    { user: "ann", role: "msp_user" },
    { user: "bob", role: "client_user" },
  ];

  it("leaves a narrower subscription of the same connection as it is", async () => {
    const { result, rerender } = renderHook(
      ({ id }) => {
        usePresence(id, {});
        return useMSPEngagementWebSocket();
      },
      { wrapper, initialProps: { id: "c-1" } },
    );
    act(() => result.current.subscribeToClient("c-1", { topics: ["alert"], min_severity: "critical" }));
    await wait();
    expect(server.connection.filterOf("c-1")).toEqual({ topics: ["alert", "presence"], minSeverity: "critical" });
    rerender({ id: "c-2" });
    await wait();
    expect(server.connection.filterOf("c-1")).toEqual({ topics: ["alert"], minSeverity: "critical" });
  });

  it("subscribes, keeps the list, and unsubscribes", async () => {
    const { result, rerender } = renderHook(
      ({ id }) => {
        useWebSocket({ clientId: "c-1" });
        return usePresence(id, { clientId: "c-1" });
      },
      { wrapper, initialProps: { id: "c-1" } },
    );
    await wait();
    expect(server.connection.receivedOf("subscribe").at(-1)).toMatchObject({
      client_id: "c-1",
      topics: expect.arrayContaining(["presence"]),
    });
    act(() => server.broadcast({ ...frame, msp_watchers: 1, client_watchers: 0, watchers: [ann] }));
    await wait();
    expect(result.current).toEqual({ mspWatchers: 1, clientWatchers: 0, watchers: [ann] });
    server.broadcast({ ...frame, msp_watchers: 1, client_watchers: 1, joined: [bob] });
    server.broadcast({ ...frame, client_id: "c-2", msp_watchers: 9, client_watchers: 9 });
    await wait();
    expect(result.current).toEqual({ mspWatchers: 1, clientWatchers: 1, watchers: [ann, bob] });
    server.broadcast({ ...frame, msp_watchers: 0, client_watchers: 1, left: [ann] });
    await wait();
    expect(result.current).toEqual({ mspWatchers: 0, clientWatchers: 1, watchers: [bob] });
    rerender({ id: "c-2" });
    await wait();
    expect(server.connection.receivedOf("unsubscribe").at(-1)).toMatchObject({
      client_id: "c-1",
      topics: ["presence"],
    });
  });
});
