/** Writing MessagePack, for the fake server. The client itself only reads it. */

const utf8 = new TextEncoder();

/** Encode a JSON value. Throws `TypeError` for anything else. */
export function encodeMsgpack(value: unknown): Uint8Array<ArrayBuffer> {
  const bytes: number[] = [];
  write(value, bytes);
  return new Uint8Array(bytes);
}

function write(value: unknown, bytes: number[]): void {
  if (value === null || value === undefined) bytes.push(0xc0);
  else if (typeof value === "boolean") bytes.push(value ? 0xc3 : 0xc2);
  else if (typeof value === "number") writeNumber(value, bytes);
  else if (typeof value === "string") writeText(value, bytes);
  else if (Array.isArray(value)) {
    head(value.length, 0x90, 15, 0xdc, bytes);
    for (const item of value) write(item, bytes);
  } else if (typeof value === "object") {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    head(entries.length, 0x80, 15, 0xde, bytes);
    for (const [key, item] of entries) {
      writeText(key, bytes);
      write(item, bytes);
    }
  } else throw new TypeError(`A ${typeof value} cannot be encoded.`);
}

function writeNumber(value: number, bytes: number[]): void {
  const view = new DataView(new ArrayBuffer(8));
  let size = 8;
  let code: number;
  if (!Number.isSafeInteger(value)) {
    code = 0xcb;
    view.setFloat64(0, value);
  } else if (value >= -32 && value < 128) {
    bytes.push(value & 0xff);
    return;
  } else if (value < 0) {
    const step = value >= -(2 ** 7) ? 0 : value >= -(2 ** 15) ? 1 : value >= -(2 ** 31) ? 2 : 3;
    code = 0xd0 + step;
    size = 2 ** step;
    view.setBigInt64(0, BigInt(value));
  } else {
    const step = value < 2 ** 8 ? 0 : value < 2 ** 16 ? 1 : value < 2 ** 32 ? 2 : 3;
    code = 0xcc + step;
    size = 2 ** step;
    view.setBigUint64(0, BigInt(value));
  }
  bytes.push(code, ...new Uint8Array(view.buffer).subarray(8 - size));
}

function writeText(text: string, bytes: number[]): void {
  const encoded = utf8.encode(text);
  if (encoded.length >= 32 && encoded.length < 2 ** 8) bytes.push(0xd9, encoded.length);
  else head(encoded.length, 0xa0, 31, 0xda, bytes);
  for (const byte of encoded) bytes.push(byte);
}

/** A length: in the type's own byte up to `most`, else in 2 bytes after `code`, or 4 after the next code. */
function head(length: number, fixed: number, most: number, code: number, bytes: number[]): void {
  if (length <= most) bytes.push(fixed | length);
  else if (length < 2 ** 16) bytes.push(code, length >> 8, length & 0xff);
  else bytes.push(code + 1, (length >>> 24) & 0xff, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff);
}
