import { describe, expect, it } from "vitest";
import type { ClientFrame } from "@/services/protocol";
import { EVENTS, Subscriptions, union, type Wish } from "@/services/subscriptions";
import { SEVERITIES, type Severity, type Topic, TOPICS } from "@/services/vocabulary";
import { alertOf, connected, pass, rig, type Rig } from "./support";

const idOf = (number: number): string => `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
const ids = (count: number, from = 0): string[] => Array.from({ length: count }, (_, index) => idOf(from + index));
const SELECTED = { scope: "selected" } as const;

const followed = ({ server }: Rig): string[] => server.connection.streams.map((stream) => stream.replace("client.", "")).sort();
const subscribeAll = ({ client }: Rig, clients: string[]): void =>
  clients.forEach((client_id) => client.send({ type: "subscribe", client_id }));

describe("many subscriptions", () => {
  it("made in one turn are one frame", async () => {
    const parts = await connected(SELECTED);
    subscribeAll(parts, ids(200));
    await pass(0);
    expect(parts.server.connection.receivedOf("subscribe")).toMatchObject([{ client_ids: ids(200) }]);
    expect(followed(parts)).toEqual(ids(200));
    expect(parts.client.getSnapshot().refused).toEqual({});
  });

  it("are made again after a reconnect, in one frame", async () => {
    const parts = await connected(SELECTED);
    subscribeAll(parts, ids(200));
    await pass(0);
    parts.server.connection.break();
    await pass(3000);
    expect(parts.server.connections).toHaveLength(2);
    expect(parts.server.connection.receivedOf("subscribe")).toHaveLength(1);
    expect(followed(parts)).toEqual(ids(200));
    expect(parts.client.state).toBe("live");
  });

  it("show which were refused; stale ids stop nobody", async () => {
    const parts = await connected(SELECTED);
    const stale = ids(20, 500);
    stale.forEach((id) => parts.server.unknown.add(id));
    const mixed = ids(100).flatMap((id, index) => (index % 5 === 0 ? [stale[index / 5]!, id] : [id]));
    subscribeAll(parts, mixed);
    await pass(0);
    expect(parts.client.getSnapshot().refused).toEqual(Object.fromEntries(stale.map((id) => [id, "not_found"])));
    expect(followed(parts)).toEqual(ids(100));
    parts.client.send({ type: "unsubscribe", client_id: stale[0]! });
    parts.server.unknown.delete(stale[1]!);
    parts.client.send({ type: "subscribe", client_id: stale[1]! });
    await pass(0);
    expect(Object.keys(parts.client.getSnapshot().refused)).toEqual(stale.slice(2));
    expect(parts.client.state).toBe("live");
  });

  it("beyond the limit are refused, and tried again once there is room", async () => {
    const parts = await connected(SELECTED);
    parts.server.maxSubscriptions = 10;
    subscribeAll(parts, ids(12));
    await pass(0);
    expect(parts.client.getSnapshot().refused).toEqual({ [idOf(10)]: "too_many_subscriptions", [idOf(11)]: "too_many_subscriptions" });
    parts.client.send({ type: "unsubscribe", client_id: idOf(0) });
    await pass(0);
    expect(parts.client.getSnapshot().refused).toEqual({ [idOf(11)]: "too_many_subscriptions" });
    expect(followed(parts)).toContain(idOf(10));
  });

  it("that are rate-limited are sent again when the server says", async () => {
    const parts = await connected(SELECTED);
    parts.server.rate = { burst: 1, perSecond: 2 };
    for (const number of [0, 1, 2]) {
      parts.client.send({ type: "subscribe", client_id: idOf(number) });
      await pass(0);
    }
    expect(followed(parts)).toEqual(ids(1));
    await pass(5000);
    expect(followed(parts)).toEqual(ids(3));
    expect(parts.client.getSnapshot().refused).toEqual({});
  });

  it("that are ended while the server takes no more are ended later", async () => {
    const parts = await connected(SELECTED);
    subscribeAll(parts, ids(2));
    await pass(0);
    parts.server.rate = { burst: 0, perSecond: 0.001 };
    parts.client.send({ type: "unsubscribe", client_id: idOf(0) });
    await pass(0);
    parts.server.rate = { burst: 5, perSecond: 1000 };
    await pass(2_000_000);
    expect(followed(parts)).toEqual([idOf(1)]);
  });

  it("go one by one, slowly, to a server that knows no lists", async () => {
    const parts = rig(SELECTED);
    parts.server.objectsTo = (frame: ClientFrame) => ("client_ids" in frame ? "subscribe has no field client_ids." : null);
    parts.server.rate = { burst: 20, perSecond: 10 };
    await parts.client.connect();
    subscribeAll(parts, ids(100));
    await pass(60_000);
    expect(followed(parts)).toEqual(ids(100));
    expect(parts.server.connection.isOpen).toBe(true);
    parts.server.connection.break();
    await pass(60_000);
    expect(parts.server.connections).toHaveLength(2);
    expect(followed(parts)).toEqual(ids(100));
  });

  it("with ids that are none stop nobody else, and are not tried until the connection ends", async () => {
    const parts = await connected(SELECTED);
    parts.server.objectsTo = (frame: ClientFrame) =>
      "client_id" in frame && frame.client_id?.startsWith("x") ? "subscribe.client_id is wrong." : null;
    const bad = Array.from({ length: 50 }, (_, number) => `x${number}`);
    subscribeAll(parts, [...bad, ...ids(50)]);
    await pass(1000);
    expect(followed(parts)).toEqual(ids(50));
    expect(Object.keys(parts.client.getSnapshot().refused).sort()).toEqual(bad.sort());
    expect(parts.client.state).toBe("live");
  });
});

describe("several parts of a page on one connection", () => {
  it("get together what each of them asked for", async () => {
    const { client, server } = await connected();
    const [list, presence] = [client.hold(), client.hold()];
    list.subscribe(idOf(1), { topics: ["alert"], min_severity: "high" });
    presence.add(idOf(1), ["presence"]);
    await pass(0);
    expect(server.connection.receivedOf("subscribe").at(-1)).toMatchObject({ topics: ["alert", "presence"], min_severity: "high" });
    presence.release();
    await pass(0);
    expect(server.connection.receivedOf("unsubscribe")).toMatchObject([{ client_id: idOf(1), topics: ["presence"] }]);
    const heard: string[] = [];
    client.on("alert", ({ data }) => heard.push(data.details ?? ""));
    server.alert(idOf(1), alertOf("high"));
    server.alert(idOf(1), { severity: "low", details: "low" });
    server.interaction(idOf(1), { interaction_count: 1 });
    await pass(0);
    expect(heard).toEqual(["high"]);
  });

  it("do not lose what another one narrows", async () => {
    const { client, server } = await connected();
    const [narrow, wide] = [client.hold(), client.hold()];
    narrow.attend();
    wide.attend();
    narrow.subscribe(idOf(1), { topics: ["alert"], min_severity: "high" });
    const heard: [boolean, boolean][] = [];
    client.on("alert", (frame) => heard.push([narrow.wants(frame), wide.wants(frame)]));
    await pass(0);
    for (const severity of ["low", "critical"] as const) server.alert(idOf(1), { severity });
    await pass(0);
    expect(heard).toEqual([
      [false, true],
      [true, true],
    ]);
  });

  it.each(Array.from({ length: 60 }, (_, seed) => seed))("agree with the server after random changes (seed %i)", async (seed) => {
    const isSelected = seed % 2 === 0;
    const parts = await connected(isSelected ? SELECTED : {});
    const { client, server } = parts;
    const random = generator(seed);
    const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
    const clients = ids(4);
    const holds = [client.hold(), client.hold(), client.hold()];
    /** Holder → client → what it wants; an own book, kept by the rules as they are documented. */
    const narrow = holds.map(() => new Map<string, Wish>());
    const extra = holds.map(() => new Set<string>());
    const topicsOf = (): Topic[] => TOPICS.filter(() => random() < 0.5);
    for (let step = 0; step < 40; step += 1) {
      const [index, id] = [Math.floor(random() * holds.length), pick(clients)];
      const hold = holds[index]!;
      const action = random();
      if (action < 0.4) {
        const [topics, severity] = [topicsOf(), pick<Severity | null>([null, ...SEVERITIES])];
        if (topics.length === 0) continue;
        hold.subscribe(id, { topics, ...(severity && { min_severity: severity }) });
        narrow[index]!.set(id, { topics, minSeverity: severity });
      } else if (action < 0.6) {
        hold.unsubscribe(id);
        if (isSelected) narrow[index]!.delete(id);
        else narrow[index]!.set(id, { topics: [], minSeverity: null });
      } else if (action < 0.75) {
        hold.add(id, ["presence"]);
        extra[index]!.add(id);
      } else if (action < 0.85) {
        hold.release();
        narrow[index]!.clear();
        extra[index]!.clear();
      } else if (action < 0.95) await pass(1);
      else {
        server.connection.break();
        await pass(3000);
      }
    }
    await pass(10_000);
    for (const id of clients) {
      const wishes = narrow.flatMap((wishesOf) => wishesOf.get(id) ?? []);
      const unsaid = isSelected ? [] : EVENTS.topics;
      const topics = new Set<Topic>(wishes.length > 0 ? wishes.flatMap((wish) => wish.topics) : unsaid);
      if (extra.some((clientsOf) => clientsOf.has(id))) topics.add("presence");
      const now = server.connection.filterOf(id);
      const isFollowed = !isSelected || server.connection.streams.includes(`client.${id}`);
      expect(isFollowed ? [...now.topics].sort() : []).toEqual([...topics].sort());
      const limits = wishes.filter((wish) => wish.topics.includes("alert")).map((wish) => wish.minSeverity);
      const least = limits.length === 0 || limits.includes(null) ? -1 : Math.min(...limits.map((limit) => SEVERITIES.indexOf(limit!)));
      const matters = isFollowed && topics.has("alert");
      expect(matters && now.minSeverity ? SEVERITIES.indexOf(now.minSeverity) : -1).toBe(matters ? least : -1);
    }
    client.disconnect();
  });
});

describe("union", () => {
  const wishes: Wish[] = [[], ["alert"], ["presence"], ["alert", "interaction_update"]].flatMap((topics) =>
    [null, ...SEVERITIES].map((minSeverity) => ({ topics: topics as Topic[], minSeverity })),
  );
  const lets = ({ topics, minSeverity }: Wish, topic: Topic, severity: Severity): boolean =>
    topics.includes(topic) && (topic !== "alert" || !minSeverity || SEVERITIES.indexOf(severity) >= SEVERITIES.indexOf(minSeverity));

  it("lets through what either lets through, and nothing else", () => {
    for (const one of wishes)
      for (const other of wishes)
        for (const topic of TOPICS)
          for (const severity of SEVERITIES)
            expect(lets(union(one, other), topic, severity)).toBe(lets(one, topic, severity) || lets(other, topic, severity));
  });

  it("of another tab's wishes ends when it ends them", () => {
    const mine = new Subscriptions(true);
    mine.adopt("tab-1", [{ holder: "page", clientId: "a", topics: ["alert"], minSeverity: null, isExtra: false }]);
    mine.remember({ type: "subscribe", client_id: "a", topics: ["presence"] });
    expect(mine.wanted("a").topics).toEqual(["alert", "presence"]);
    mine.adopt("tab-1", []);
    expect(mine.wanted("a").topics).toEqual(["presence"]);
  });
});

/** Numbers from 0 to 1 that a seed decides. */
function generator(seed: number): () => number {
  let state = seed + 1;
  return () => {
    state = (state * 1664525 + 1013904223) % 2 ** 32;
    return state / 2 ** 32;
  };
}
