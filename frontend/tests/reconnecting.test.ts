import { describe, expect, it, vi } from "vitest";
import { ConnectionError, exponentialBackoff, UnauthorizedError } from "@/services/websocket";
import { verdictOn } from "@/services/closing";
import { connected, pass, rig } from "./support";

describe("reconnecting", () => {
  it("tries 5 times, after 3, 6, 12, 24 and 48 s, and then gives up", async () => {
    const { server, client } = rig();
    server.isDown = true;
    const connecting = client.connect();
    const refused = expect(connecting).rejects.toBeInstanceOf(ConnectionError);
    await pass(0);
    expect(server.connections).toHaveLength(1);

    for (const [index, seconds] of [3, 6, 12, 24, 48].entries()) {
      expect(client.state).toBe("reconnecting");
      expect(client.getSnapshot()).toMatchObject({
        reconnectAttempt: index + 1,
        nextRetryAt: Date.now() + seconds * 1000,
      });
      await pass(seconds * 1000 - 1);
      expect(server.connections).toHaveLength(index + 1);
      await pass(1);
      expect(server.connections).toHaveLength(index + 2);
    }

    await refused;
    expect(client.state).toBe("closed");
    expect(client.getSnapshot().error).toMatchObject({ closeCode: 1006 });
    await pass(600_000);
    expect(server.connections).toHaveLength(6);
  });

  it("takes the number of attempts and the first delay from its options", async () => {
    const { server, client } = rig({ maxReconnectAttempts: 2, reconnectDelayMs: 100 });
    server.isDown = true;
    client.connect().catch(() => undefined);
    await pass(99);
    expect(server.connections).toHaveLength(1);
    await pass(1);
    expect(server.connections).toHaveLength(2);
    await pass(200);
    expect(server.connections).toHaveLength(3);
    expect(client.state).toBe("closed");
  });

  it("never gives up with Infinity, and waits 48 s at most", async () => {
    const backoff = exponentialBackoff({ attempts: Infinity, jitter: 0 });
    expect(backoff(1000)).toBe(48_000);
    expect(exponentialBackoff({ firstMs: 60_000, jitter: 0 })(1)).toBe(60_000);
  });

  it("varies delays by 20 % either way", () => {
    const delays = [0, 0.5, 1].map((random) => exponentialBackoff({ random: () => random })(1));
    expect(delays).toEqual([2400, 3000, 3600]);
  });

  it("follows another policy where one is given", async () => {
    const backoff = vi.fn((attempt: number) => (attempt > 1 ? null : 7));
    const { server, client } = rig({ backoff });
    server.isDown = true;
    client.connect().catch(() => undefined);
    await pass(7);
    expect(backoff.mock.calls).toEqual([[1], [2]]);
    expect(client.state).toBe("closed");
  });

  it("counts anew after a connection that lived for a while, not after one that did not", async () => {
    const { server, client } = await connected();
    for (const attempt of [1, 2]) {
      server.connection.break();
      await pass(0);
      expect(client.getSnapshot().reconnectAttempt).toBe(attempt);
      await pass(3000 * attempt);
      expect(client.isConnected).toBe(true);
      expect(client.getSnapshot().reconnectAttempt).toBe(0);
    }
    await pass(5000);
    server.connection.break();
    await pass(0);
    expect(client.getSnapshot().reconnectAttempt).toBe(1);
  });

  it.each([1000, 1006, 1009, 1011, 1012, 1013, 4008, 4009])("comes back after %i", async (code) => {
    const { server, client, states } = await connected();
    server.connection.close(code);
    await pass(3000);
    expect(client.isConnected).toBe(true);
    expect(states).toEqual(["idle", "connecting", "live", "reconnecting", "connecting", "catchingUp", "live"]);
  });

  it.each([1008, 4003])("stops after %i, and says why", async (code) => {
    const { server, client } = await connected();
    server.connection.send({ type: "error", code: "access_revoked", message: "Your access ended." });
    server.connection.close(code);
    await pass(600_000);
    expect(client.state).toBe("closed");
    expect(server.connections).toHaveLength(1);
    expect(client.getSnapshot().error).toMatchObject({
      code: "access_revoked",
      message: "Your access ended.",
      closeCode: code,
    });
  });

  it("rejects connect() when it is refused", async () => {
    const { server, client } = rig();
    server.refusal = { closeCode: 1008, code: "no_tenant", message: "You belong to no tenant." };
    await expect(client.connect()).rejects.toMatchObject({ code: "no_tenant", closeCode: 1008 });
    expect(client.getSnapshot().connection).toBeNull();
  });

  it("does not blame an old error frame for a lost line", async () => {
    const { server, client } = await connected();
    server.connection.send({ type: "error", code: "rate_limited", message: "Too many messages." });
    server.alert("client-1", {});
    server.connection.break();
    await pass(0);
    expect(client.getSnapshot().error).toMatchObject({ code: "closed", closeCode: 1006 });
  });

  it("does not come back after disconnect(), and can connect again", async () => {
    const { server, client } = await connected();
    client.disconnect();
    await pass(600_000);
    expect(server.connection.closedByClient).toEqual({ code: 1000 });
    expect(client.state).toBe("closed");
    expect(client.getSnapshot().error).toBeNull();
    expect(server.connections).toHaveLength(1);
    await client.connect();
    expect(client.isConnected).toBe(true);
  });

  it("gives up a wait when disconnected, and rejects who waits", async () => {
    const { server, client } = rig();
    server.isDown = true;
    const connecting = client.connect();
    await pass(0);
    expect(client.state).toBe("reconnecting");
    client.disconnect();
    await expect(connecting).rejects.toMatchObject({ code: "disconnected" });
    await pass(600_000);
    expect(server.connections).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("waits as long as the server said, and no sooner when the page wakes up", async () => {
    const { server, client } = await connected();
    server.broadcast({ type: "reconnect", after_ms: 20_000, reason: "restart" });
    await pass(1000);
    server.connection.close(1012);
    await pass(0);
    expect(client.getSnapshot().nextRetryAt).toBe(Date.now() + 19_000);
    window.dispatchEvent(new Event("online"));
    await pass(18_999);
    expect(server.connections).toHaveLength(1);
    await pass(1);
    expect(client.isConnected).toBe(true);
  });

  it("goes back to the usual delays when the planned attempt fails", async () => {
    const { server, client } = await connected();
    server.broadcast({ type: "reconnect", after_ms: 500, reason: "restart" });
    await pass(0);
    server.goDown();
    await pass(500);
    expect(server.connections).toHaveLength(2);
    expect(client.getSnapshot()).toMatchObject({ reconnectAttempt: 1, nextRetryAt: Date.now() + 3000 });
  });

  it("gives up a server that neither opens nor fails, after 15 s", async () => {
    const { server, client } = rig();
    server.isUnreachable = true;
    void client.connect();
    await pass(14_999);
    expect(client.state).toBe("connecting");
    await pass(1);
    expect(client.state).toBe("reconnecting");
    expect(client.getSnapshot().error).toMatchObject({ code: "timeout" });
    server.isUnreachable = false;
    await pass(3000);
    expect(client.isConnected).toBe(true);
  });

  it("tells at once of an address that is none", async () => {
    const { client } = rig({ baseUrl: "nowhere" });
    await expect(client.connect()).rejects.toMatchObject({ code: "unusable" });
  });

  it("asks one promise for all who connect, and keeps it while connected", async () => {
    const { server, client } = rig();
    await Promise.all([client.connect(), client.connect()]);
    await client.connect();
    expect(server.connections).toHaveLength(1);
  });

  it("connect() cuts a wait short", async () => {
    const { server, client } = await connected();
    server.connection.break();
    await pass(0);
    await client.connect();
    expect(server.connections).toHaveLength(2);
  });
});

describe("tokens", () => {
  const expired = { closeCode: 4001, code: "token_expired", message: "The token expired." };

  it("go out as a subprotocol, never in the address", async () => {
    const { server } = await connected({ getToken: () => "a.b.c" });
    expect(server.connection.token).toBe("a.b.c");
    expect(server.connection.url.href).toBe("ws://portal.test/ws/engagement?batch=1");
  });

  it("may be missing: the session cookie speaks then", async () => {
    const { server, client } = await connected({ getToken: () => null });
    expect(server.connection.token).toBeNull();
    expect(client.isConnected).toBe(true);
  });

  it("are refreshed at once after 4001", async () => {
    const getToken = vi.fn(({ refresh }: { refresh: boolean }) => Promise.resolve(refresh ? "new" : "old"));
    const { server, client } = rig({ getToken }, { accepts: (token) => (token === "new" ? true : expired) });
    const connecting = client.connect();
    await pass(0);
    await connecting;
    expect(server.connections.map(({ token }) => token)).toEqual(["old", "new"]);
    expect(getToken.mock.calls).toEqual([[{ refresh: false }], [{ refresh: true }]]);
  });

  it("are refreshed when an expired one is refused with 1008", async () => {
    const getToken = ({ refresh }: { refresh: boolean }): string => (refresh ? "new" : "old");
    const { server, client } = rig(
      { getToken },
      { accepts: (token) => (token === "new" ? true : { ...expired, closeCode: 1008 }) },
    );
    const connecting = client.connect();
    await pass(0);
    await connecting;
    expect(server.connections).toHaveLength(2);
  });

  it("that are refused again and again are asked for with growing delays", async () => {
    const { server, client } = rig({ getToken: () => "old" }, { accepts: () => expired });
    client.connect().catch(() => undefined);
    await pass(0);
    expect(server.connections).toHaveLength(2);
    expect(client.getSnapshot().nextRetryAt).toBe(Date.now() + 3000);
    await pass(600_000);
    expect(server.connections).toHaveLength(7);
    expect(client.state).toBe("closed");
  });

  it("cannot be refreshed without getToken: 4001 stops", async () => {
    const { server, client } = await connected();
    server.connection.close(4001);
    await pass(600_000);
    expect(client.state).toBe("closed");
    expect(server.connections).toHaveLength(1);
  });

  it("are renewed in band a minute before they expire, or after 4/5 of a short life", async () => {
    const getToken = vi.fn(({ refresh }: { refresh: boolean }) => (refresh ? "new" : "old"));
    const { server } = await connected({ getToken }, { tokenLifeMs: 600_000 });
    await pass(539_999);
    expect(server.connection.receivedOf("authenticate")).toEqual([]);
    server.tokenLifeMs = 100_000;
    await pass(1);
    expect(server.connection.receivedOf("authenticate")).toMatchObject([{ token: "new" }]);
    await pass(80_000);
    expect(server.connection.receivedOf("authenticate")).toHaveLength(2);
    expect(server.connections).toHaveLength(1);
  });

  it("are timed by the server's clock, where ours is wrong", async () => {
    const { server, client } = rig({ getToken: () => "token" }, { tokenLifeMs: 600_000 });
    server.timestamp = () => new Date(Date.now() + 3_600_000).toISOString();
    server.tokenExpiresAt = () => new Date(Date.now() + 4_200_000).toISOString();
    await client.connect();
    await pass(539_999);
    expect(server.connection.receivedOf("authenticate")).toEqual([]);
    await pass(1);
    expect(server.connection.receivedOf("authenticate")).toHaveLength(1);
  });

  it("are renewed when the server asks", async () => {
    const { server, client } = await connected({ getToken: () => "token" });
    server.broadcast({ type: "authenticated", token_expires_at: null, expiring: true });
    await server.settled();
    expect(server.connection.receivedOf("authenticate")).toHaveLength(1);
    expect(client.isConnected).toBe(true);
  });

  it("that cannot be renewed are a problem, not an end", async () => {
    const { server, client } = rig({
      getToken: ({ refresh }) => (refresh ? Promise.reject(new Error("offline")) : "token"),
    });
    const problems: unknown[] = [];
    client.on("problem", (problem) => problems.push(problem));
    await client.connect();
    server.broadcast({ type: "authenticated", token_expires_at: null, expiring: true });
    await server.settled();
    expect(problems).toMatchObject([{ message: "offline" }]);
    expect(client.isConnected).toBe(true);
  });

  it("a getToken that fails is tried again; one that knows better ends it", async () => {
    const getToken = vi
      .fn()
      .mockRejectedValueOnce(new Error("offline"))
      .mockRejectedValueOnce(new UnauthorizedError("Sign in again."));
    const { server, client } = rig({ getToken });
    const connecting = client.connect();
    await pass(0);
    expect(client.getSnapshot()).toMatchObject({ state: "reconnecting", error: { code: "no_token" } });
    vi.advanceTimersByTime(3000);
    await expect(connecting).rejects.toMatchObject({ code: "unauthorized", message: "Sign in again." });
    expect(server.connections).toEqual([]);
  });

  it("a token that comes after disconnect() opens nothing", async () => {
    let give: (token: string) => void = () => undefined;
    const { server, client } = rig({ getToken: () => new Promise((resolve) => (give = resolve)) });
    client.connect().catch(() => undefined);
    client.disconnect();
    give("late");
    await pass(0);
    expect(server.connections).toEqual([]);
  });
});

it.each([
  [1000, undefined, "retry"],
  [1008, "no_tenant", "stop"],
  [1008, "token_expired", "refresh"],
  [4001, undefined, "refresh"],
  [4003, undefined, "stop"],
] as const)("close code %i with %s means %s", (code, error, verdict) => {
  expect(verdictOn(code, error)).toBe(verdict);
});

it("says soon that nobody answers, and goes on waiting", async () => {
  const { server, client } = rig();
  server.isUnreachable = true;
  void client.connect().catch(() => undefined);
  await pass(4000);
  expect(client.getSnapshot()).toMatchObject({ state: "connecting", error: { code: "slow" } });
  expect(client.getSnapshot().error?.message).toContain("ws://portal.test/ws/engagement");
  server.isUnreachable = false;
  await pass(20_000);
  expect(client.getSnapshot()).toMatchObject({ state: "live", error: null });
});
