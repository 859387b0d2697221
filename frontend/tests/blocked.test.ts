/** Browsers that block or lack what most have. */

import { afterEach, expect, it, vi } from "vitest";
import { readStored, store } from "@/services/storage";
import { createClient, SharedClient } from "@/services/sharing";
import { WebSocketClient } from "@/services/websocket";
import { storedEncoding, storeEncoding } from "@/app/live/encoding";
import { media, prefersDark } from "@/pages/live/media";
import { FakeServer } from "@/testing/fakeServer";

const refuse = (): never => {
  throw new DOMException("Access is denied for this document.", "SecurityError");
};

afterEach(() => vi.unstubAllGlobals());

it.each(["throws when named", "throws when used", "is absent"])("storage that %s", (how) => {
  if (how === "throws when named") Object.defineProperty(globalThis, "localStorage", { configurable: true, get: refuse });
  else vi.stubGlobal("localStorage", how === "is absent" ? undefined : { getItem: refuse, setItem: refuse });
  store("key", "value");
  expect(readStored("key")).toBeNull();
  storeEncoding("msgpack");
  expect(storedEncoding()).toBe("json");
  if (how === "throws when named") Reflect.deleteProperty(globalThis, "localStorage");
});

it("matchMedia that is absent, throws, or cannot be listened to", () => {
  vi.stubGlobal("matchMedia", undefined);
  expect(prefersDark()).toBe(false);
  vi.stubGlobal("matchMedia", refuse);
  expect(prefersDark()).toBe(false);
  vi.stubGlobal("matchMedia", () => ({ matches: true }));
  expect(prefersDark()).toBe(true);
  media("(print)").addEventListener("change", () => undefined);
});

it("channels that cannot be opened: each tab has a socket of its own", () => {
  vi.stubGlobal("navigator", { locks: {} });
  vi.stubGlobal("BroadcastChannel", class {
    constructor() {
      refuse();
    }
  });
  expect(createClient("/ws/engagement", null, { shareAs: "user-1", baseUrl: "http://p" })).toBeInstanceOf(WebSocketClient);
});

it("locks that are refused: the tab leads itself", async () => {
  vi.stubGlobal("navigator", { locks: { request: () => Promise.reject(new DOMException("no", "SecurityError")) } });
  const server = new FakeServer();
  const tab = createClient("/ws/engagement", null, { ...server.clientOptions, shareAs: "user-1" });
  expect(tab).toBeInstanceOf(SharedClient);
  await tab.connect();
  expect(tab.state).toBe("live");
  tab.disconnect();
});
