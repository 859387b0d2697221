import { describe, expect, it, vi } from "vitest";
import { addressOf } from "@/services/address";
import { WebSocketClient } from "@/services/websocket";
import { alertOf, connected, pass, rig } from "./support";

describe("keep-alive", () => {
  it("pings every 30 s, with positions, and measures the answer", async () => {
    const { server, client } = await connected();
    server.alert("client-1", alertOf("one"));
    await pass(29_999);
    expect(server.connection.receivedOf("ping")).toHaveLength(0);
    await pass(1);
    const [ping] = server.connection.receivedOf("ping");
    expect(ping).toMatchObject({ positions: { "msp.msp-1": 1 }, timestamp: new Date().toISOString() });
    await pass(1000);
    expect(client.getSnapshot().latencyMs).toBe(0);
    await pass(29_000);
    expect(server.connection.receivedOf("ping")).toHaveLength(2);
  });

  it("drops a line that answers nothing for 10 s, without waiting for its close event", async () => {
    const { server, client, states } = await connected();
    server.connection.isSilent = true;
    await pass(39_999);
    expect(client.state).toBe("live");
    await pass(1);
    expect(client.getSnapshot()).toMatchObject({ state: "reconnecting", error: { code: "timeout" } });
    expect(server.connection.closedByClient).toEqual({ code: 1000 });
    await pass(3000);
    expect(states.at(-1)).toBe("live");
  });

  it("drops a line that brings events but no pong, at the next beat", async () => {
    const { server, client } = await connected();
    server.connection.isSilent = true;
    for (let second = 0; second < 59; second++) {
      await pass(1000);
      server.alert("client-1", {});
    }
    expect(client.state).toBe("live");
    await pass(1000);
    expect(client.state).toBe("reconnecting");
  });

  it("can ping at another pace", async () => {
    const { server, client } = await connected({ pingIntervalMs: 500, pongTimeoutMs: 100 });
    await pass(500);
    expect(server.connection.receivedOf("ping")).toHaveLength(1);
    server.connection.isSilent = true;
    await pass(600);
    expect(client.state).toBe("reconnecting");
  });
});

describe("the page", () => {
  const becomeVisible = (state: "visible" | "hidden"): void => {
    vi.spyOn(document, "visibilityState", "get").mockReturnValue(state);
    document.dispatchEvent(new Event("visibilitychange"));
  };

  it.each([
    ["online", () => window.dispatchEvent(new Event("online"))],
    ["shown from the cache", () => window.dispatchEvent(new Event("pageshow"))],
    ["visible", () => becomeVisible("visible")],
  ])("is %s again: reconnects at once", async (_, happen) => {
    const { server, client } = await connected();
    server.connection.break();
    await pass(0);
    expect(client.state).toBe("reconnecting");
    happen();
    await pass(0);
    expect(client.isConnected).toBe(true);
  });

  it("is hidden: nothing is tried", async () => {
    const { server, client } = await connected();
    server.connection.break();
    await pass(0);
    becomeVisible("hidden");
    await pass(0);
    expect(client.state).toBe("reconnecting");
  });

  it("is online again after the client gave up: begins anew", async () => {
    const { server, client } = await connected();
    server.goDown();
    await pass(200_000);
    expect(client.state).toBe("closed");
    server.isDown = false;
    window.dispatchEvent(new Event("online"));
    await pass(0);
    expect(client.isConnected).toBe(true);
  });

  it("is online again after disconnect() or a stop: nothing begins", async () => {
    const { server, client } = await connected();
    client.disconnect();
    window.dispatchEvent(new Event("online"));
    await client.connect();
    server.connection.close(4003);
    await pass(0);
    window.dispatchEvent(new Event("online"));
    await pass(0);
    expect(server.connections).toHaveLength(2);
  });

  it("is offline: the line is tried", async () => {
    const { server, client } = await connected();
    server.connection.isSilent = true;
    window.dispatchEvent(new Event("offline"));
    await pass(2000);
    expect(server.connection.receivedOf("ping")).toHaveLength(1);
    expect(client.state).toBe("reconnecting");
  });

  it("wakes up after a silence: the line is tried", async () => {
    const { server } = await connected();
    await pass(4000);
    window.dispatchEvent(new Event("online"));
    await pass(2000);
    expect(server.connection.receivedOf("ping")).toHaveLength(0);
    window.dispatchEvent(new Event("online"));
    await pass(0);
    expect(server.connection.receivedOf("ping")).toHaveLength(1);
  });

  it("is not listened to any more after disconnect()", async () => {
    const remove = vi.spyOn(window, "removeEventListener");
    const { client } = await connected();
    client.disconnect();
    expect(remove.mock.calls.map(([type]) => type).sort()).toEqual(["offline", "online", "pageshow"]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("handlers", () => {
  it("are kept over reconnects, and end when they say so", async () => {
    const { server, client } = await connected();
    const handler = vi.fn();
    const off = client.on("alert", handler);
    server.connection.break();
    await pass(3000);
    server.alert("client-1", alertOf("one"));
    await pass(0);
    off();
    server.alert("client-1", alertOf("two"));
    await pass(0);
    expect(handler).toHaveBeenCalledOnce();
  });

  it("of `connection` that come late are told of the connection there is", async () => {
    const { client } = await connected();
    const handler = vi.fn();
    client.on("connection", handler);
    const gone = vi.fn();
    client.on("connection", gone)();
    await pass(0);
    expect(handler).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ type: "connection", scope: "msp", status: "connected" }),
    );
    expect(gone).not.toHaveBeenCalled();
  });

  it("that throw are reported, and the others run", async () => {
    const reported = vi.fn();
    vi.stubGlobal("reportError", reported);
    const { server, client } = await connected();
    const error = new Error("a handler's fault");
    const other = vi.fn();
    client.on("alert", () => {
      throw error;
    });
    client.on("alert", other);
    server.alert("client-1", alertOf("one"));
    await pass(0);
    expect(reported).toHaveBeenCalledExactlyOnceWith(error);
    expect(other).toHaveBeenCalledOnce();
  });

  it("hear of frames that are not of the protocol as problems, and the connection goes on", async () => {
    const { server, client } = await connected();
    const problems: string[] = [];
    client.on("problem", ({ message }) => problems.push(message));
    server.connection.sendText("{");
    server.connection.sendRaw({ type: "surprise" });
    server.connection.socket.deliver(new ArrayBuffer(1));
    await pass(0);
    expect(problems).toHaveLength(3);
    expect(problems[1]).toContain('"surprise"');
    expect(problems[2]).toContain("binary frame");
    expect(client.isConnected).toBe(true);
  });
});

describe("sending", () => {
  it("says whether it went out", async () => {
    const { server, client } = rig();
    expect(client.send({ type: "ping" })).toBe(false);
    await client.connect();
    expect(client.send({ type: "ping", timestamp: new Date().toISOString() })).toBe(true);
    await pass(0);
    expect(server.connection.receivedOf("ping")).toHaveLength(1);
  });

  it("remembers subscriptions, also those made before connecting", async () => {
    const { server, client } = rig({ scope: "selected" });
    expect(client.send({ type: "subscribe", client_id: "a" })).toBe(true);
    expect(client.send({ type: "subscribe", client_id: "b", topics: ["alert"] })).toBe(true);
    await client.connect();
    client.send({ type: "unsubscribe", client_id: "a" });
    client.send({ type: "unsubscribe", client_id: "b", topics: ["presence"] });
    await pass(0);
    expect(client.cursor.positions).toEqual({ "client.b": 0 });
    server.connection.break();
    await pass(3000);
    const sent = server.connection.received.map(({ type, ...frame }) => [
      type,
      "client_id" in frame ? frame.client_id : "",
    ]);
    expect(sent).toEqual([
      ["subscribe", "b"],
      ["resume", ""],
    ]);
    expect(server.connection.url.searchParams.get("scope")).toBe("selected");
  });

  it("follows selected clients through a lost connection", async () => {
    const { server, client } = await connected({ scope: "selected" });
    const heard: string[] = [];
    client.on("alert", ({ data }) => heard.push(data.details ?? ""));
    await client.request({ type: "subscribe", client_id: "a" });
    server.alert("b", alertOf("foreign"));
    server.alert("a", alertOf("one"));
    await pass(0);
    server.goDown();
    server.alert("a", alertOf("away"));
    server.isDown = false;
    await pass(3000);
    expect(heard).toEqual(["one", "away"]);
  });

  it("remembers what an MSP's user muted", async () => {
    const { server, client } = await connected();
    client.send({ type: "unsubscribe", client_id: "a" });
    server.connection.break();
    await pass(3000);
    expect(server.connection.receivedOf("unsubscribe")).toMatchObject([{ client_id: "a" }]);
  });

  it("matches answers to requests", async () => {
    const { client } = await connected();
    const [seen, subscribed] = await Promise.all([
      client.request({ type: "acknowledge", alert_id: "alert-1" }),
      client.request({ type: "subscribe", client_id: "client-1" }),
    ]);
    expect(seen).toMatchObject({ type: "acknowledged", alert_id: "alert-1" });
    expect(subscribed).toMatchObject({ type: "subscribed", client_id: "client-1" });
  });

  it("rejects a request that is refused, lost, late or not sent", async () => {
    const { server, client } = await connected();
    await expect(client.request({ type: "acknowledge", alert_id: 5 as never })).rejects.toMatchObject({
      name: "RequestError",
      code: "invalid_message",
    });
    server.connection.isSilent = true;
    const late = client.request({ type: "acknowledge", alert_id: "a" });
    vi.advanceTimersByTime(10_000);
    await expect(late).rejects.toMatchObject({ code: "timeout" });
    const lost = client.request({ type: "acknowledge", alert_id: "a" });
    server.connection.break();
    await expect(lost).rejects.toMatchObject({ closeCode: 1006 });
    await expect(client.request({ type: "ping" })).rejects.toMatchObject({ code: "not_connected" });
  });
});

describe("the snapshot", () => {
  it("is the same object until something changed, and traffic changes it once a second", async () => {
    const { server, client } = await connected();
    await pass(2000);
    const before = client.getSnapshot();
    expect(client.getSnapshot()).toBe(before);
    const listener = vi.fn();
    const off = client.subscribe(listener);
    for (let i = 0; i < 100; i++) server.alert("client-1", {});
    await pass(999);
    expect(listener).not.toHaveBeenCalled();
    await pass(1);
    expect(listener).toHaveBeenCalledOnce();
    expect(client.getSnapshot()).toMatchObject({ positions: { "msp.msp-1": 100 }, lastMessageAt: Date.now() - 1000 });
    off();
    client.disconnect();
    expect(listener).toHaveBeenCalledOnce();
  });
});

describe("addresses", () => {
  it.each([
    ["/ws/engagement", undefined, {}, "ws://localhost:3000/api/v1/ws/engagement?batch=1"],
    ["/ws/engagement", "c-1", {}, "ws://localhost:3000/api/v1/ws/client/c-1/engagement?batch=1"],
    ["/live", undefined, {}, "ws://localhost:3000/live?batch=1"],
    ["/ws/engagement", undefined, { userId: "u" }, "ws://localhost:3000/api/v1/ws/engagement?batch=1&user=u"],
    ["/api/v1/ws/engagement", "c-1", {}, "ws://localhost:3000/api/v1/ws/client/c-1/engagement?batch=1"],
    ["/ws/client/c-2/engagement", "c-1", {}, "ws://localhost:3000/api/v1/ws/client/c-2/engagement?batch=1"],
    ["/ws/engagement", undefined, { rate: 0.5 }, "ws://localhost:3000/api/v1/ws/engagement?batch=1&rate=0.5"],
    ["/ws/engagement", "a/b", { batch: false }, "ws://localhost:3000/api/v1/ws/client/a%2Fb/engagement"],
    [
      "/ws/engagement",
      undefined,
      { baseUrl: "https://portal.example/api/v1/" },
      "wss://portal.example/api/v1/ws/engagement?batch=1",
    ],
    [
      "wss://other.example/ws/engagement",
      undefined,
      { scope: "selected", params: { ticket: "t" } },
      "wss://other.example/ws/engagement?batch=1&scope=selected&ticket=t",
    ],
  ] as const)("%s of %s with %j", (path, clientId, options, address) => {
    expect(addressOf(path, clientId, options)).toBe(address);
  });

  it("need a baseUrl outside a page", async () => {
    vi.stubGlobal("location", undefined);
    await expect(new WebSocketClient("/ws/engagement").connect()).rejects.toMatchObject({
      code: "unusable",
      message: expect.stringContaining("baseUrl"),
    });
  });
});
