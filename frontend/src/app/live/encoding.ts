/** How messages are written on the wire: the visitor's choice, kept in this browser. */

import { createContext, useContext } from "react";
import type { Encoding } from "@/services/encoding.js";
import type { Cursor } from "@/services/positions.js";
import { readStored, store } from "@/services/storage.js";

const KEY = "encoding";
const ENCODINGS: readonly Encoding[] = ["json", "msgpack", "deflate"];

export const storedEncoding = (): Encoding => ENCODINGS.find((encoding) => encoding === readStored(KEY)) ?? "json";
export const storeEncoding = (encoding: Encoding): void => store(KEY, encoding);

export interface EncodingChoice {
  encoding: Encoding;
  /** Connect anew with another encoding, from where the connection so far has got to. */
  choose(encoding: Encoding, from: Cursor): void;
}

export const EncodingContext = createContext<EncodingChoice>({ encoding: "json", choose: () => undefined });
export const useEncoding = (): EncodingChoice => useContext(EncodingContext);
