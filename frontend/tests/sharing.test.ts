import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createClient, SharedClient, type SharedClientOptions } from "@/services/sharing";
import { WebSocketClient } from "@/services/websocket";
import { FakeServer } from "@/testing/fakeServer";

/** Web Locks as far as one exclusive lock at a time: granted in order, and asynchronously, as browsers do. */
class FakeLocks {
  readonly #held = new Map<string, Promise<unknown>>();

  request(name: string, { signal }: { signal: AbortSignal }, callback: () => Promise<void> | undefined): Promise<void> {
    const before = this.#held.get(name) ?? Promise.resolve();
    const aborted = new Promise<never>((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason as Error)),
    );
    const granted = before.then(() => (signal.aborted ? undefined : callback()));
    this.#held.set(
      name,
      granted.catch(() => undefined),
    );
    return Promise.race([granted, aborted]);
  }
}

/** On real time: channels between tabs are not the clock's to hurry. */
const until = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 2000, interval: 5 });

let server: FakeServer;
let tabs: SharedClient[];

beforeEach(() => {
  vi.stubGlobal("navigator", { ...navigator, locks: new FakeLocks() });
  server = new FakeServer();
  tabs = [];
});
afterEach(() => tabs.forEach((tab) => tab.disconnect()));

function openTab(options: Partial<SharedClientOptions> = {}): { tab: SharedClient; heard: string[] } {
  const tab = createClient("/ws/engagement", null, { ...server.clientOptions, shareAs: "user-1", ...options });
  if (!(tab instanceof SharedClient)) throw new Error("Nothing is shared here.");
  tabs.push(tab);
  const heard: string[] = [];
  tab.on("alert", ({ data }) => heard.push(data.details ?? ""));
  return { tab, heard };
}

describe("tabs", () => {
  it("share one socket, and hear the same", async () => {
    const [first, second] = [openTab(), openTab()];
    await Promise.all([first.tab.connect(), second.tab.connect()]);
    expect(server.connections).toHaveLength(1);
    expect([first.tab.isLeader, second.tab.isLeader]).toEqual([true, false]);
    server.alert("client-1", { details: "one" });
    server.emitAll(["two", "three"].map((details) => ({ type: "alert", clientId: "client-1", data: { details } })));
    await until(() => expect(second.heard).toEqual(["one", "two", "three"]));
    expect(first.heard).toEqual(["one", "two", "three"]);
    expect(second.tab.cursor).toEqual({ positions: { "msp.msp-1": 3 }, epoch: "epoch-1" });
  });

  it("pass the socket on when the leading one goes, and lose nothing meanwhile", async () => {
    const [first, second] = [openTab(), openTab()];
    await Promise.all([first.tab.connect(), second.tab.connect()]);
    server.alert("client-1", { details: "one" });
    await until(() => expect(second.heard).toEqual(["one"]));
    first.tab.disconnect();
    server.alert("client-1", { details: "away" });
    await until(() => expect(second.heard).toEqual(["one", "away"]));
    expect(second.tab.isLeader).toBe(true);
    expect(first.tab.state).toBe("closed");
    await until(() => expect(second.tab.state).toBe("live"));
    expect(server.open).toHaveLength(1);
  });

  it("that follow hear what the new leader catches up with, before they hear that it is live", async () => {
    const [first, second, third] = [openTab(), openTab(), openTab()];
    await Promise.all([first, second, third].map(({ tab }) => tab.connect()));
    const resync = vi.fn();
    third.tab.on("resync", resync);
    first.tab.disconnect();
    server.emitAll(["a", "b"].map((details) => ({ type: "alert", clientId: "client-1", data: { details } })));
    await until(() => expect(third.heard).toEqual(["a", "b"]));
    await until(() => expect(third.tab.state).toBe("live"));
    expect(resync).not.toHaveBeenCalled();
  });

  it("that come later start from where the leader is", async () => {
    const first = openTab();
    await first.tab.connect();
    server.alert("client-1", { details: "before" });
    await until(() => expect(first.heard).toEqual(["before"]));
    const second = openTab();
    const connection = vi.fn();
    await second.tab.connect();
    second.tab.on("connection", connection);
    server.alert("client-1", { details: "after" });
    await until(() => expect(second.heard).toEqual(["after"]));
    expect(connection).toHaveBeenCalledOnce();
    expect(second.tab.cursor.positions).toEqual({ "msp.msp-1": 2 });
  });

  it("whose page was read before what the leader has told already must refetch", async () => {
    const first = openTab();
    await first.tab.connect();
    server.alert("client-1", { details: "missed" });
    await until(() => expect(first.heard).toHaveLength(1));
    const second = openTab({ resumeFrom: { positions: { "msp.msp-1": 0 }, epoch: "epoch-1" } });
    const resync = vi.fn();
    second.tab.on("resync", resync);
    await second.tab.connect();
    expect(resync).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ stream: "msp.msp-1", seq: 1 }));
  });

  it("send and ask through the leader", async () => {
    const [first, second] = [openTab(), openTab()];
    await Promise.all([first.tab.connect(), second.tab.connect()]);
    expect(await second.tab.request({ type: "acknowledge", alert_id: "a" })).toMatchObject({ alert_id: "a" });
    expect(await first.tab.request({ type: "acknowledge", alert_id: "b" })).toMatchObject({ alert_id: "b" });
    second.tab.send({ type: "subscribe", client_id: "client-7" });
    await until(() => expect(server.connection.receivedOf("subscribe")).toMatchObject([{ client_id: "client-7" }]));
    second.tab.disconnect();
    first.tab.disconnect();
    const third = openTab();
    await third.tab.connect();
    expect(server.connections).toHaveLength(2);
  });

  it("keep subscriptions when another leads", async () => {
    const [first, second] = [openTab(), openTab()];
    await Promise.all([first.tab.connect(), second.tab.connect()]);
    first.tab.send({ type: "subscribe", client_id: "client-7", topics: ["alert"] });
    await second.tab.request({ type: "acknowledge", alert_id: "a" });
    first.tab.disconnect();
    await until(() => expect(server.connections).toHaveLength(2));
    await until(() =>
      expect(server.connection.receivedOf("subscribe")).toMatchObject([{ client_id: "client-7", topics: ["alert"] }]),
    );
  });

  it("all learn why it ended, and any of them may try again", async () => {
    const [first, second] = [openTab(), openTab()];
    await Promise.all([first.tab.connect(), second.tab.connect()]);
    server.broadcast({ type: "error", code: "access_revoked", message: "Your access ended." });
    server.closeAll(4003);
    await until(() => expect(second.tab.state).toBe("closed"));
    expect(second.tab.getSnapshot().error).toMatchObject({ code: "access_revoked", closeCode: 4003 });
    await second.tab.connect();
    expect(server.connections).toHaveLength(2);
    await until(() => expect(first.tab.isConnected).toBe(true));
  });

  it("of other users, or other clients, have their own", async () => {
    const mine = openTab();
    const theirs = openTab({ shareAs: "user-2" });
    await Promise.all([mine.tab.connect(), theirs.tab.connect()]);
    expect(server.connections).toHaveLength(2);
  });
});

it("without Web Locks, each tab has its own socket", () => {
  vi.stubGlobal("navigator", {});
  expect(createClient("/ws/engagement", null, { shareAs: "user-1" })).toBeInstanceOf(WebSocketClient);
  expect(createClient("/ws/engagement")).toBeInstanceOf(WebSocketClient);
});
