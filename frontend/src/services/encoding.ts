/** The encodings of a connection: which subprotocols to offer, and how to read what comes. We send JSON text in all of them. */

import { decodeMsgpack } from "./msgpack.js";
import { PROTOCOL } from "./vocabulary.js";

export type Encoding = "json" | "msgpack" | "deflate";

const MSGPACK = `${PROTOCOL}+msgpack`;
const DEFLATE = `${PROTOCOL}+deflate`;

/** The subprotocols to offer, the wanted one first; JSON is always there to fall back on. */
export function offers(encoding: Encoding, token: string | undefined): string[] {
  const wanted = encoding === "msgpack" ? [MSGPACK] : encoding === "deflate" && canInflate() ? [DEFLATE] : [];
  return [...wanted, PROTOCOL, ...(token ? [`bearer.${token}`] : [])];
}

/** Decode what a socket of this subprotocol received: at once, or (compressed) by a promise. Throws or rejects on bad data. */
export function decode(data: string | ArrayBuffer, protocol: string): unknown {
  if (typeof data === "string") return JSON.parse(data);
  if (protocol === MSGPACK) return decodeMsgpack(data);
  if (protocol === DEFLATE) return inflate(data).then((text) => JSON.parse(text) as unknown);
  throw new TypeError(`A binary frame came on a ${protocol || "plain"} connection.`);
}

const canInflate = (): boolean => typeof DecompressionStream === "function";

/** Undo zlib compression (RFC 1950), which the web calls "deflate". */
async function inflate(data: ArrayBuffer): Promise<string> {
  const stream = new DecompressionStream("deflate");
  const writer = stream.writable.getWriter();
  const [text] = await Promise.all([
    new Response(stream.readable).text(),
    writer.write(new Uint8Array(data)),
    writer.close(),
  ]);
  return text;
}
