/** The script's side of `formats.json`; pytest reads the same file for Django's. */

import { describe, expect, it } from "vitest";
import written from "../../../../tests/pages/formats.json";
import { change, count, decimal, direction, glyph, since } from "./format.js";

const formats = written as unknown as Record<string, [never, string][]>;
const signs = written.glyph as [string, string, string][];

describe.each(Object.entries({ change, count, decimal, direction, since }))("%s", (name, write: (value: never) => string) => {
  it.each(formats[name]!)("writes %s as %s", (value, text) => {
    expect(write(value)).toBe(text);
  });
});

it.each(signs)("makes of icon %s and name %s the sign %s", (icon, name, sign) => {
  expect(glyph(icon, name)).toBe(sign);
});
