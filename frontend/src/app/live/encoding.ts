/** How messages are written on the wire: the visitor's choice, kept in this browser. */

import { createContext, useContext } from "react";
import type { Encoding } from "@/services/encoding.js";

const KEY = "encoding";
const ENCODINGS: readonly Encoding[] = ["json", "msgpack", "deflate"];

export const storedEncoding = (): Encoding => ENCODINGS.find((encoding) => encoding === localStorage.getItem(KEY)) ?? "json";
export const storeEncoding = (encoding: Encoding): void => localStorage.setItem(KEY, encoding);

export const EncodingContext = createContext<readonly [Encoding, (encoding: Encoding) => void]>(["json", () => undefined]);
export const useEncoding = (): readonly [Encoding, (encoding: Encoding) => void] => useContext(EncodingContext);
