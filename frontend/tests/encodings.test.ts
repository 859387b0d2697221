import { describe, expect, it, vi } from "vitest";
import { decodeMsgpack } from "@/services/msgpack";
import { WebSocketClient, type WebSocketClientOptions } from "@/services/websocket";
import { encodeMsgpack } from "@/testing/encodeMsgpack";
import { FakeServer, type FakeServerOptions } from "@/testing/fakeServer";

/** On real time: decompression is not the clock's to hurry. */
async function connect(options: WebSocketClientOptions, serverOptions?: FakeServerOptions) {
  const server = new FakeServer(serverOptions);
  const client = new WebSocketClient("/ws/engagement", null, { ...server.clientOptions, ...options });
  await client.connect();
  return { server, client };
}

describe("encodings", () => {
  it.each([
    ["json", "compliance.v1"],
    ["msgpack", "compliance.v1+msgpack"],
    ["deflate", "compliance.v1+deflate"],
  ] as const)("%s is offered, and what comes in it is read", async (encoding, protocol) => {
    const { server, client } = await connect({ encoding, getToken: () => "jwt" });
    expect(server.connection.protocol).toBe(protocol);
    expect(server.connection.token).toBe("jwt");
    const heard = new Promise((resolve) => client.on("alert", resolve));
    server.alert("client-1", { severity: "high", details: "Ünïcode ✓ 😀" });
    expect(await heard).toMatchObject({ seq: 1, data: { details: "Ünïcode ✓ 😀" } });
    expect(await client.request({ type: "acknowledge", alert_id: "a" })).toMatchObject({ type: "acknowledged" });
    client.disconnect();
  });

  it("keeps frames in order, compressed or not, and the close after them", async () => {
    const { server, client } = await connect({ encoding: "deflate" }, { deflateFrom: 400 });
    const heard: string[] = [];
    client.on("alert", ({ data }) => heard.push(data.details!.slice(0, 2)));
    client.on("error", ({ code }) => heard.push(code));
    const closed = new Promise<void>((resolve) => client.subscribe(() => client.state === "closed" && resolve()));
    for (let i = 10; i < 40; i++) server.alert("client-1", { details: `${i}${"x".repeat(i % 3 === 0 ? 20_000 : 1)}` });
    server.broadcast({ type: "error", code: "access_revoked", message: "x".repeat(500) });
    server.connection.close(4003);
    await closed;
    expect(heard).toEqual([...Array.from({ length: 30 }, (_, i) => String(i + 10)), "access_revoked"]);
    expect(client.getSnapshot().error).toMatchObject({ code: "access_revoked" });
  });

  it("reports what cannot be decompressed, and goes on", async () => {
    const { server, client } = await connect({ encoding: "deflate" });
    const problem = new Promise((resolve) => client.on("problem", resolve));
    server.connection.socket.deliver(new Uint8Array([1, 2, 3]).buffer);
    expect(await problem).toBeInstanceOf(Error);
    const heard = new Promise((resolve) => client.on("alert", resolve));
    server.alert("client-1", {});
    expect(await heard).toMatchObject({ seq: 1 });
    client.disconnect();
  });

  it("does not offer deflate where the browser cannot undo it", async () => {
    vi.stubGlobal("DecompressionStream", undefined);
    const { server, client } = await connect({ encoding: "deflate" });
    expect(server.connection.protocol).toBe("compliance.v1");
    client.disconnect();
  });
});

describe("MessagePack", () => {
  const values: unknown[] = [
    null,
    true,
    false,
    0,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    2 ** 32 - 1,
    2 ** 32,
    Number.MAX_SAFE_INTEGER,
    -1,
    -32,
    -33,
    -128,
    -129,
    -32_768,
    -32_769,
    -(2 ** 31),
    -(2 ** 31) - 1,
    Number.MIN_SAFE_INTEGER,
    1.5,
    -0.1,
    1e300,
    "",
    "a",
    "x".repeat(31),
    "x".repeat(32),
    "é".repeat(200),
    "x".repeat(70_000),
    [],
    [[]],
    {},
    { a: { b: [1, "c", null] } },
    Array.from({ length: 16 }, (_, i) => i),
    Array.from({ length: 70_000 }, () => 1),
    Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`k${i}`, i])),
  ];

  it.each(values.map((value) => [JSON.stringify(value).slice(0, 40), value]))("reads %s", (_, value) => {
    expect(decodeMsgpack(encodeMsgpack(value))).toEqual(value);
  });

  // Written by Python's msgspec: another hand than ours.
  it.each([
    ["83a474797065a5616c657274a3736571cd0140a464617461cb3ff8000000000000", { type: "alert", seq: 320, data: 1.5 }],
    ["93ff00d1ff00", [-1, 0, -256]],
    ["82a161c0a162c3", { a: null, b: true }],
  ])("reads %s", (hex, value) => {
    expect(decodeMsgpack(Uint8Array.from(hex.match(/../g)!, (byte) => parseInt(byte, 16)))).toEqual(value);
  });

  it("reads a 32-bit float", () => {
    expect(decodeMsgpack(new Uint8Array([0xca, 0x3f, 0xc0, 0, 0]))).toBe(1.5);
  });

  it.each([
    ["too short", [0xa5, 0x61], "too early"],
    ["empty", [], "too early"],
    ["something after it", [0xc0, 0xc0], "follows"],
    ["an extension", [0xd4, 1, 2], "0xd4"],
    ["bad UTF-8", [0xa1, 0xff], "not valid"],
  ])("refuses what is %s", (_, bytes, message) => {
    expect(() => decodeMsgpack(new Uint8Array(bytes))).toThrow(message);
  });
});
