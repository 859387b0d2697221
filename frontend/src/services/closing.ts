/** What to do when the socket was closed, by its close code (`realtime/protocol/closing.py`). */

import { CloseCode } from "./vocabulary.js";

export type Verdict = "retry" | "refresh" | "stop";

/**
 * `stop`: do not come back unchanged. `refresh`: get a new token first. `retry`: come back and resume.
 *
 * `errorCode` is that of the error frame before the close: a token that expired before the connection was even taken in is refused
 * with 1008, like every bad one.
 */
export function verdictOn(code: number, errorCode?: string): Verdict {
  if (code === CloseCode.TOKEN_EXPIRED || errorCode === "token_expired") return "refresh";
  return code === CloseCode.POLICY || code === CloseCode.REVOKED ? "stop" : "retry";
}

/** Why there is no connection: `code` for machines (an error frame's, or one of ours), `message` for people. */
export class ConnectionError extends Error {
  override name = "ConnectionError";
  readonly code: string;
  /** The close code; 1006 where the socket ended without one. */
  readonly closeCode: number | undefined;

  constructor(code: string, message: string, closeCode?: number) {
    super(message);
    this.code = code;
    this.closeCode = closeCode;
  }
}
