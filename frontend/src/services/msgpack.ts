/** Reading MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md), as far as JSON reaches: no extension types. */

/** Decode one value. Throw `RangeError` if the bytes end too early, `TypeError` for a type that no JSON value has. */
export function decodeMsgpack(bytes: ArrayBuffer | Uint8Array): unknown {
  const view = ArrayBuffer.isView(bytes)
    ? new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new DataView(bytes);
  const utf8 = new TextDecoder("utf-8", { fatal: true });
  let at = 0;

  const take = (length: number): number => {
    const start = at;
    at += length;
    if (at > view.byteLength) throw new RangeError("The MessagePack frame ends too early.");
    return start;
  };
  /** An unsigned integer of 1, 2, 4 or 8 bytes. */
  const unsigned = (size: number): number => {
    const start = take(size);
    if (size === 1) return view.getUint8(start);
    if (size === 2) return view.getUint16(start);
    if (size === 4) return view.getUint32(start);
    return Number(view.getBigUint64(start));
  };
  const signed = (size: number): number => {
    const start = take(size);
    if (size === 1) return view.getInt8(start);
    if (size === 2) return view.getInt16(start);
    if (size === 4) return view.getInt32(start);
    return Number(view.getBigInt64(start));
  };
  const text = (length: number): string => {
    const start = take(length);
    return utf8.decode(new Uint8Array(view.buffer, view.byteOffset + start, length));
  };
  const array = (length: number): unknown[] => {
    const values: unknown[] = [];
    for (let i = 0; i < length; i++) values.push(read());
    return values;
  };
  const map = (length: number): Record<string, unknown> => {
    const entries: [string, unknown][] = [];
    for (let i = 0; i < length; i++) entries.push([String(read()), read()]);
    return Object.fromEntries(entries);
  };

  const read = (): unknown => {
    const head = unsigned(1);
    if (head < 0x80) return head;
    if (head < 0x90) return map(head & 0x0f);
    if (head < 0xa0) return array(head & 0x0f);
    if (head < 0xc0) return text(head & 0x1f);
    if (head >= 0xe0) return head - 0x100;
    if (head === 0xc0) return null;
    if (head === 0xc2) return false;
    if (head === 0xc3) return true;
    if (head === 0xca) return view.getFloat32(take(4));
    if (head === 0xcb) return view.getFloat64(take(8));
    if (head >= 0xcc && head <= 0xcf) return unsigned(2 ** (head - 0xcc));
    if (head >= 0xd0 && head <= 0xd3) return signed(2 ** (head - 0xd0));
    if (head >= 0xd9 && head <= 0xdb) return text(unsigned(2 ** (head - 0xd9)));
    if (head === 0xdc || head === 0xdd) return array(unsigned(2 ** (head - 0xdb)));
    if (head === 0xde || head === 0xdf) return map(unsigned(2 ** (head - 0xdd)));
    throw new TypeError(`MessagePack type 0x${head.toString(16)} is not used by the protocol.`);
  };

  const value = read();
  if (at !== view.byteLength) throw new RangeError("Something follows the MessagePack value.");
  return value;
}
