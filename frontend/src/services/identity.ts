/** What a user may see, as the connection says it: a page that was made for one role or tenant must not go on as another. */

import type { FrameOf } from "./protocol.js";

const FIELDS = ["user_role", "scope", "msp_id", "client_id"] as const;
type Rights = { readonly [F in (typeof FIELDS)[number]]?: string | null | undefined };

/** Say whether both connections are of the same role, MSP and client. */
export const sameRights = (before: Rights, now: FrameOf<"connection">): boolean =>
  FIELDS.every((field) => (before[field] ?? null) === (now[field] ?? null));
