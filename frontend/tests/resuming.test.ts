import { describe, expect, it } from "vitest";
import type { EventFrame } from "@/services/protocol";
import { transition, type ConnectionState } from "@/services/states";
import { Positions } from "@/services/positions";
import { alertOf, connected, pass, rig, type Rig } from "./support";

/** The details of every alert that the client tells of. */
function heard({ client }: Rig): string[] {
  const details: string[] = [];
  client.on("alert", ({ data }) => details.push(data.details ?? ""));
  return details;
}

describe("resuming", () => {
  it("tells of what happened while there was no connection, once and in order", async () => {
    const parts = await connected();
    const { server, client } = parts;
    const details = heard(parts);
    server.alert("client-1", alertOf("before"));
    await pass(0);
    server.goDown();
    server.alert("client-1", alertOf("away 1"));
    server.alert("client-2", alertOf("away 2"));
    server.isDown = false;
    await pass(3000);
    server.alert("client-1", alertOf("after"));
    await pass(1000);

    expect(details).toEqual(["before", "away 1", "away 2", "after"]);
    expect(server.connection.receivedOf("resume")).toMatchObject([{ positions: { "msp.msp-1": 1 }, epoch: "epoch-1" }]);
    expect(client.state).toBe("live");
    expect(client.getSnapshot()).toMatchObject({ replayed: 2, doubles: 0, resyncs: 0, positions: { "msp.msp-1": 4 } });
  });

  it("leaves out what comes before the server has answered the resume: it comes again in its place", async () => {
    const parts = await connected();
    const { server, client } = parts;
    const details = heard(parts);
    server.goDown();
    server.alert("client-1", alertOf("away"));
    server.isDown = false;
    await pass(2999);
    client.on("connection", () => server.alert("client-1", alertOf("racing")));
    await pass(1);
    expect(details).toEqual(["away", "racing"]);
    expect(client.state).toBe("live");
    expect(client.getSnapshot()).toMatchObject({ replayed: 2, doubles: 1 });
  });

  it("does not take a live event for the missing ones before it", () => {
    const positions = new Positions({ positions: { s: 5 }, epoch: "e" });
    const event = (seq: number): EventFrame => ({
      type: "alert",
      client_id: "c",
      stream: "s",
      seq,
      timestamp: "",
      data: {},
    });
    positions.welcome({ positions: { s: 8 }, epoch: "e" } as never);
    expect(positions.isNew(event(9))).toBe(false);
    positions.resumed({ type: "resumed", stream: "s", from: 5, to: 9, count: 4 });
    expect([6, 7, 8, 9].map((seq) => positions.isNew(event(seq)))).toEqual([true, true, true, true]);
    expect(positions.isSettled).toBe(true);
  });

  it("takes a folded update for all that it stands for: seqs that are skipped are no gap", () => {
    const positions = new Positions({ positions: { s: 5 }, epoch: "e" });
    const uses = (seq: number, folded: number): EventFrame => ({
      type: "interaction_update",
      client_id: "c",
      stream: "s",
      seq,
      timestamp: "",
      folded,
      data: { app_id: "a", interaction_count: folded },
    });
    positions.welcome({ positions: { s: 20 }, epoch: "e" } as never);
    positions.resumed({ type: "resumed", stream: "s", from: 5, to: 20, count: 15 });
    expect([uses(12, 6), uses(20, 9)].map((frame) => positions.isNew(frame))).toEqual([true, true]);
    expect(positions.isSettled).toBe(true);
    expect(positions.isNew(uses(26, 6))).toBe(true);
    expect(positions.cursor).toEqual({ positions: { s: 26 }, epoch: "e" });
    expect(positions.isNew(uses(26, 6))).toBe(false);
  });

  it("drops doubles, of each stream for itself", async () => {
    const parts = await connected();
    const { server, client } = parts;
    const details = heard(parts);
    server.alert("client-1", alertOf("first"));
    const [frame] = server.after("msp.msp-1", 0);
    server.broadcast(frame!);
    server.broadcast({ ...frame!, stream: "client.other" } as EventFrame);
    await pass(1000);
    expect(details).toEqual(["first", "first"]);
    expect(client.getSnapshot()).toMatchObject({ doubles: 1, positions: { "msp.msp-1": 1, "client.other": 1 } });
  });

  it.each([
    ["epoch", (rigged: Rig) => rigged.server.resetLog("epoch-2")],
    ["backlog", (rigged: Rig) => rigged.server.startStream("msp.msp-1", 5000)],
  ] as const)("tells listeners to refetch when events cannot be resumed: %s", async (reason, happen) => {
    const parts = await connected();
    const { server, client } = parts;
    server.alert("client-1", alertOf("before"));
    await pass(0);
    server.goDown();
    happen(parts);
    server.isDown = false;
    const resyncs: string[] = [];
    client.on("resync", (frame) => resyncs.push(frame.reason));
    await pass(3000);
    const details = heard(parts);
    server.alert("client-1", alertOf("after"));
    await pass(0);

    expect(resyncs).toEqual([reason]);
    expect(details).toEqual(["after"]);
    expect(client.cursor).toEqual({ positions: { "msp.msp-1": server.head("msp.msp-1") }, epoch: server.epoch });
  });

  it("follows a position back, when the server's log is behind ours", async () => {
    const parts = await connected({ resumeFrom: { positions: { "msp.msp-1": 50 }, epoch: "epoch-1" } });
    const details = heard(parts);
    await pass(0);
    expect(parts.client.getSnapshot().resyncs).toBe(1);
    parts.server.alert("client-1", alertOf("new"));
    await pass(0);
    expect(details).toEqual(["new"]);
  });

  it("resumes from where a page was read, on the first connection", async () => {
    const parts = rig({ resumeFrom: { positions: { "msp.msp-1": 1 }, epoch: "epoch-1" } });
    const details = heard(parts);
    for (const name of ["read", "missed"]) parts.server.alert("client-1", alertOf(name));
    await parts.client.connect();
    expect(parts.client.state).toBe("catchingUp");
    await pass(0);
    expect(details).toEqual(["missed"]);
    expect(parts.states).toEqual(["idle", "connecting", "catchingUp", "live"]);
  });

  it("does not ask again for a stream that the server does not know", async () => {
    const { server, client } = await connected({ resumeFrom: { positions: { "client.gone": 3 } } });
    await pass(0);
    expect(client.cursor.positions).toEqual({ "msp.msp-1": 0 });
    server.connection.break();
    await pass(3000);
    expect(server.connection.receivedOf("resume")).toMatchObject([{ positions: { "msp.msp-1": 0 } }]);
  });

  it("asks for at most 200 streams in one frame", async () => {
    const positions = Object.fromEntries(Array.from({ length: 450 }, (_, index) => [`client.${index}`, 0]));
    const { server } = await connected({ resumeFrom: { positions } });
    await pass(0);
    const sizes = server.connection.receivedOf("resume").map((frame) => Object.keys(frame.positions).length);
    expect(sizes).toEqual([200, 200, 50]);
  });

  it("goes live although the last missed event was filtered out, by asking how far the server is", async () => {
    const { server, client } = await connected();
    client.send({ type: "subscribe", topics: ["alert"] });
    await pass(0);
    server.goDown();
    server.interaction("client-1", { interaction_count: 1 });
    server.isDown = false;
    await pass(3000);
    expect(client.state).toBe("catchingUp");
    await pass(1000);
    expect(client.state).toBe("live");
    expect(client.cursor.positions).toEqual({ "msp.msp-1": 1 });
  });

  it.each(["refused", "never answered"])(
    "goes on from the connection's own position when a resume is %s",
    async (how) => {
      const parts = await connected();
      const { server, client } = parts;
      server.alert("client-1", alertOf("before"));
      await pass(0);
      server.goDown();
      server.alert("client-1", alertOf("away"));
      server.isDown = false;
      await pass(2999);
      const resyncs: unknown[] = [];
      client.on("resync", (frame) => resyncs.push(frame));
      client.on("connection", () => {
        server.connection.ignores.add("resume");
        if (how === "refused")
          server.connection.send({ type: "error", code: "rate_limited", message: "Slower.", ref: "resume" });
      });
      await pass(1);
      await pass(how === "refused" ? 0 : 15_000);
      expect(resyncs).toMatchObject([{ stream: "msp.msp-1", seq: 2 }]);
      expect(client.cursor.positions).toEqual({ "msp.msp-1": 2 });
    },
  );

  it("always hands on snapshots, and does not count them", async () => {
    const { server, client } = await connected();
    server.alert("client-1", alertOf("one"));
    await pass(0);
    const answer = await client.request({ type: "request_update", client_id: "client-1" });
    expect(answer).toMatchObject({ snapshot: true, client_id: "client-1" });
    expect(client.cursor.positions).toEqual({ "msp.msp-1": 1 });
  });
});

describe("batches", () => {
  const three = ["a", "b", "c"].map((name) => ({ type: "alert" as const, clientId: "client-1", data: alertOf(name) }));

  it("are told event by event, then as what was new of them", async () => {
    const parts = await connected();
    const { server, client } = parts;
    const details = heard(parts);
    const batches: number[] = [];
    const all: string[] = [];
    client.on("batch", ({ messages }) => batches.push(messages.length));
    client.on("*", ({ type }) => all.push(type));
    server.emitAll(three);
    server.broadcast({ type: "batch", messages: server.after("msp.msp-1", 0) });
    await pass(0);
    expect(details).toEqual(["a", "b", "c"]);
    expect(batches).toEqual([3]);
    expect(all).toEqual(["alert", "alert", "alert"]);
  });

  it("keep their good events when one is bad", async () => {
    const parts = await connected();
    const { server, client } = parts;
    const details = heard(parts);
    const problems: Error[] = [];
    client.on("problem", (problem) => problems.push(problem));
    server.emitAll(three);
    await pass(0);
    server.connection.sendRaw({
      type: "batch",
      messages: [{ type: "alert" }, { ...server.after("msp.msp-1", 2)[0], seq: 4 }],
    });
    await pass(0);
    expect(details).toEqual(["a", "b", "c", "c"]);
    expect(problems.map(({ message }) => message)).toEqual([
      '"client_id" of the alert frame is not as the protocol says.',
    ]);
  });

  it("are not asked for with batch: false", async () => {
    const { server } = await connected({ batch: false });
    expect(server.connection.url.search).toBe("");
  });
});

describe("states", () => {
  const states: ConnectionState[] = ["idle", "connecting", "catchingUp", "live", "reconnecting", "closed"];
  const allowed = [
    "idle connecting",
    "idle closed",
    "connecting catchingUp",
    "connecting live",
    "connecting reconnecting",
    "connecting closed",
    "catchingUp live",
    "catchingUp reconnecting",
    "catchingUp closed",
    "live reconnecting",
    "live closed",
    "reconnecting connecting",
    "reconnecting closed",
    "closed connecting",
  ];
  const ways = states.flatMap((from) => states.map((to) => [from, to] as const));
  it.each(ways.filter((way) => allowed.includes(way.join(" "))))("%s → %s", (from, to) => {
    expect(transition(from, to)).toBe(to);
  });
  it.each(ways.filter((way) => !allowed.includes(way.join(" "))))("never %s → %s", (from, to) => {
    expect(() => transition(from, to)).toThrow(`from ${from} to ${to}`);
  });
});
