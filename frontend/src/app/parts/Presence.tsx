/** Who is connected: initials, and the names to whom may see them. */

import type { ReactNode } from "react";
import { count } from "@/pages/live/format.js";
import type { Watched } from "../api.js";

const SHOWN = 4;

const ROLES: Record<string, string> = {
  msp_admin: "MSP administrator",
  msp_user: "MSP user",
  client_admin: "Client administrator",
  client_user: "Client user",
};
export const roleName = (role: string | null): string => ROLES[role ?? ""] ?? "No role";

export function Avatar({ name }: { name: string }): ReactNode {
  const initials = name
    .split(/[\s._-]+/)
    .map((word) => word.charAt(0))
    .join("")
    .slice(0, 2)
    .toUpperCase();
  return (
    <span className="avatar" aria-hidden="true" data-tint={tintOf(name)}>
      {initials}
    </span>
  );
}

const tintOf = (name: string): number => ([...name].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % 5) + 1;

export const peopleIn = ({ msp_watchers: msp, client_watchers: client }: Watched): number => msp + client;

/** A row of initials; how many watch is said in words. */
export function Watchers({ watched }: { watched: Watched }): ReactNode {
  const total = peopleIn(watched);
  if (total === 0) return null;
  const names = watched.watchers.map(({ user }) => user);
  return (
    <span className="watchers" title={names.join(", ") || undefined}>
      {names.slice(0, SHOWN).map((name) => (
        <Avatar key={name} name={name} />
      ))}
      <span className="watchers-text">{total === 1 ? "1 person watching" : `${count(total)} people watching`}</span>
    </span>
  );
}
