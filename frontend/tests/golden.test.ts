/** The golden frames, as TypeScript reads them; `tests/realtime/test_golden_frames.py` is the other half. */

import { readdirSync, readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { isObject, mismatch, type Shape } from "@/services/check";
import { decodeMsgpack } from "@/services/msgpack";
import { parseFrame } from "@/services/parse";
import { MAX_POSITIONS } from "@/services/positions";
import { clientShapes, serverShapes } from "@/services/protocol";
import { CloseCode, ERROR_CODES, PROTOCOL, RESYNC_REASONS, SEVERITIES, TOPICS } from "@/services/vocabulary";
import { encodeMsgpack } from "@/testing/encodeMsgpack";

const folder = resolve(import.meta.dirname, "../../tests/golden");
const read = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(`${folder}/${name}.json`, "utf-8")) as Record<string, unknown>;
const names = readdirSync(folder).map((file) => basename(file, ".json"));
const serverNames = names.filter((name) => name.startsWith("server-"));
const clientNames = names.filter((name) => name.startsWith("client-"));
const typesOf = (of: string[]): unknown[] => [...new Set(of.map((name) => read(name).type))].sort();

describe("golden frames", () => {
  it("cover every type of frame, and no other", () => {
    expect(typesOf(serverNames)).toEqual(Object.keys(serverShapes).sort());
    expect(typesOf(clientNames)).toEqual(Object.keys(clientShapes).sort());
  });

  it.each(serverNames)("%s is read as it is", (name) => {
    expect(parseFrame(read(name))).toEqual(read(name));
  });

  it.each(serverNames)("%s is the same in MessagePack", (name) => {
    expect(decodeMsgpack(encodeMsgpack(read(name)))).toEqual(read(name));
  });

  it.each(clientNames)("%s is a frame we may send", (name) => {
    const { type, ...fields } = read(name);
    expect(mismatch(clientShapes[type as keyof typeof clientShapes] as Shape, fields)).toBeUndefined();
  });

  it.each([
    ...Object.entries(serverShapes).map(([type, shape]) => [`server-${type}`, shape] as const),
    ...Object.entries(clientShapes).map(([type, shape]) => [`client-${type}`, shape] as const),
  ])("the forms of %s have together exactly the fields that the types have", (name, shape) => {
    const forms = names.filter((other) => other === name || other.startsWith(`${name}-`));
    const fields = new Set(forms.flatMap((form) => Object.keys(read(form))));
    expect([...fields].sort()).toEqual(["type", ...Object.keys(shape)].sort());
  });

  it.each([
    ...Object.entries(serverShapes).map(([type, shape]) => [`server-${type}`, shape as Shape] as const),
    ...Object.entries(clientShapes).map(([type, shape]) => [`client-${type}`, shape as Shape] as const),
  ])("%s-minimal has exactly the fields that must be there", (name, shape) => {
    const needed = Object.keys(shape).filter((key) => !shape[key]!(undefined));
    const minimal = read(`${name}-minimal`);
    const there = Object.keys(minimal).filter((key) => minimal[key] !== null || needed.includes(key));
    expect(there.sort()).toEqual(["type", ...needed].sort());
  });

  it("agree on the vocabulary", () => {
    expect(read("vocabulary")).toEqual({
      protocol: PROTOCOL,
      topics: [...TOPICS],
      severities: [...SEVERITIES],
      resync_reasons: [...RESYNC_REASONS],
      close_codes: { ...CloseCode },
      error_codes: [...ERROR_CODES],
      most_positions: MAX_POSITIONS,
    });
  });
});

describe("parseFrame", () => {
  const without = (name: string, key: string): unknown => ({ ...read(name), [key]: undefined });

  it.each([
    [null, "not an object"],
    [[], "not an object"],
    [{ type: "surprise" }, '"surprise" are not known'],
    [{ type: "constructor" }, "not known"],
    [without("server-alert", "client_id"), '"client_id" of the alert frame'],
    [{ ...read("server-alert"), seq: 1.5 }, '"seq"'],
    [{ ...read("server-alert"), data: { severity: "urgent" } }, '"data"'],
    [{ ...read("server-connection"), positions: { a: "1" } }, '"positions"'],
    [{ ...read("server-interaction_update"), data: { interaction_count: "5" } }, '"data"'],
  ])("refuses %j", (value, message) => {
    expect(() => parseFrame(value)).toThrow(message);
  });

  it("lets fields through that it does not know", () => {
    const frame = { ...read("server-alert"), later: true };
    expect(parseFrame(frame)).toBe(frame);
    expect(isObject(frame)).toBe(true);
  });
});
