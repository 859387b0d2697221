/** From a snapshot to live without a hole, whatever comes between. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RealtimeClient } from "../../services/client.js";
import type { Cursor } from "../../services/positions.js";
import type { EventFrame } from "../../services/protocol.js";
import { Follower, isAfter } from "./following.js";
import { RestError } from "./rest.js";
import { alertFrame, anAlert } from "./samples.js";
import { observe } from "./serverClock.js";

type Answer = { seq: number; holds: string[] } | Error;

/** A page whose model is the ids of alerts, a server that answers when told, and a socket that says what it is told. */
class Stage {
  model: string[] = [];
  isStale = false;
  readonly fetches: { answer: (answer: Answer) => Promise<void> }[] = [];
  readonly refused = vi.fn();
  resumedFrom: Cursor | null = null;
  #handlers: Record<string, ((frame: never) => void)[]> = {};

  readonly follower = new Follower(
    {
      fetch: () =>
        new Promise((resolve, reject) => {
          const answer = async (given: Answer): Promise<void> => {
            if (given instanceof Error) reject(given);
            else {
              const commit = (): void => {
                this.model = [...given.holds];
                this.isStale = false;
              };
              resolve({ cursor: { positions: { "client.c1": given.seq }, epoch: "e" }, commit });
            }
            await vi.advanceTimersByTimeAsync(0);
          };
          this.fetches.push({ answer });
        }),
      apply: (frame) => {
        const { id } = (frame as ReturnType<typeof alertFrame>).data;
        if (!this.model.includes(id!)) this.model.push(id!);
      },
      isStale: () => this.isStale,
      changed: () => undefined,
      refused: this.refused,
    },
    (cursor) => {
      this.resumedFrom = cursor;
      return {
        on: (type: string, handler: (frame: never) => void) => {
          (this.#handlers[type] ??= []).push(handler);
          return () => undefined;
        },
      } as unknown as RealtimeClient;
    },
  );

  say(frame: EventFrame | { type: "resync" }): void {
    for (const handler of this.#handlers[frame.type] ?? []) handler(frame as never);
  }

  raise(seq: number, id: string): void {
    this.say(alertFrame(seq, anAlert(id)));
  }

  async begin(answer: Answer): Promise<void> {
    void this.follower.load();
    await this.fetches[0]!.answer(answer);
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.setSystemTime(new Date("2026-01-15T12:00:00Z")); // not near a midnight
  observe("2026-01-15T12:00:00Z");
});
afterEach(() => void vi.useRealTimers());

describe("Follower", () => {
  it("resumes the socket from the snapshot's positions", async () => {
    const stage = new Stage();
    await stage.begin({ seq: 7, holds: ["a"] });
    expect(stage.resumedFrom).toEqual({ positions: { "client.c1": 7 }, epoch: "e" });
    stage.raise(8, "b");
    expect(stage.model).toEqual(["a", "b"]);
  });

  it("does not lose what comes while another snapshot is on its way", async () => {
    const stage = new Stage();
    await stage.begin({ seq: 7, holds: ["a"] });
    stage.say({ type: "resync" });
    stage.raise(8, "b");
    stage.raise(9, "c");
    await stage.fetches[1]!.answer({ seq: 8, holds: ["a", "b"] });
    expect(stage.model).toEqual(["a", "b", "c"]);
  });

  it("fetches again where events do not tell all, but not for each of them", async () => {
    const stage = new Stage();
    await stage.begin({ seq: 7, holds: [] });
    stage.isStale = true;
    for (let seq = 8; seq < 100; seq += 1) stage.raise(seq, `${seq}`);
    expect(stage.fetches).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(15_000);
    expect(stage.fetches).toHaveLength(2);
    await stage.fetches[1]!.answer({ seq: 99, holds: [] });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(stage.fetches).toHaveLength(2);
  });

  describe("over the server's midnight", () => {
    const begin = async (local: string, server = local): Promise<Stage> => {
      vi.setSystemTime(new Date(local));
      observe(server);
      const stage = new Stage();
      await stage.begin({ seq: 7, holds: [] });
      return stage;
    };

    it("fetches once, without an event", async () => {
      const stage = await begin("2026-01-15T23:59:00Z");
      await vi.advanceTimersByTimeAsync(59_000);
      expect(stage.fetches).toHaveLength(1);
      await vi.advanceTimersByTimeAsync(12_000);
      expect(stage.fetches).toHaveLength(2);
      await stage.fetches[1]!.answer({ seq: 7, holds: [] });
      await vi.advanceTimersByTimeAsync(3_600_000);
      expect(stage.fetches).toHaveLength(2);
    });

    it.each(["2026-01-15T12:00:00Z", "2026-01-16T14:59:00Z"])("goes by the server's clock where this one says %s", async (local) => {
      const stage = await begin(local, "2026-01-15T23:59:00Z");
      await vi.advanceTimersByTimeAsync(59_000);
      expect(stage.fetches).toHaveLength(1);
      await vi.advanceTimersByTimeAsync(12_000);
      expect(stage.fetches).toHaveLength(2);
    });

    it("fetches after a sleep over it", async () => {
      const stage = await begin("2026-01-15T20:00:00Z");
      vi.setSystemTime(new Date("2026-01-16T08:00:00Z")); // the timers slept too
      await vi.advanceTimersByTimeAsync(2000);
      expect(stage.fetches).toHaveLength(2);
    });

    it("tries until it gets the new day's figures", async () => {
      const stage = await begin("2026-01-15T23:59:30Z");
      await vi.advanceTimersByTimeAsync(42_000);
      await stage.fetches[1]!.answer(new TypeError("no network"));
      await vi.advanceTimersByTimeAsync(10_000);
      await stage.fetches[2]!.answer({ seq: 7, holds: ["new"] });
      expect(stage.model).toEqual(["new"]);
    });
  });

  it("fetches once more where it was asked to while a fetch was under way", async () => {
    const stage = new Stage();
    await stage.begin({ seq: 7, holds: [] });
    stage.say({ type: "resync" });
    stage.say({ type: "resync" });
    await stage.fetches[1]!.answer({ seq: 8, holds: [] });
    await vi.advanceTimersByTimeAsync(1);
    expect(stage.fetches).toHaveLength(3);
  });

  it.each([new TypeError("Failed to fetch"), new RestError(503, "Busy")])("tries again after %s", async (error) => {
    const stage = new Stage();
    await stage.begin(error);
    expect(stage.resumedFrom).toBeNull();
    await vi.advanceTimersByTimeAsync(5000);
    await stage.fetches[1]!.answer({ seq: 1, holds: ["a"] });
    expect(stage.model).toEqual(["a"]);
    expect(stage.resumedFrom).not.toBeNull();
  });

  it.each([401, 403, 404])("gives up on %i, and says so", async (status) => {
    const stage = new Stage();
    await stage.begin(new RestError(status, "No"));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(stage.refused).toHaveBeenCalledOnce();
    expect(stage.fetches).toHaveLength(1);
  });
});

describe("isAfter", () => {
  it("goes by the event's own stream", () => {
    const cursor = { positions: { "client.c1": 7 } };
    expect(isAfter(alertFrame(7, anAlert("a")), cursor)).toBe(false);
    expect(isAfter(alertFrame(8, anAlert("a")), cursor)).toBe(true);
    expect(isAfter({ ...alertFrame(7, anAlert("a")), stream: "msp.m1" }, cursor)).toBe(true);
  });
});
