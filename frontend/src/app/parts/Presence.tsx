/** Who is connected: initials, and the names to whom may see them. */

import type { ReactNode } from "react";
import { initials, peopleIn, tint, type Watched, watching } from "@/pages/live/watched.js";

const SHOWN = 4;

export const Avatar = ({ name }: { name: string }): ReactNode => (
  <span className="avatar" aria-hidden="true" data-tint={tint(name)}>
    {initials(name)}
  </span>
);

/** A row of initials; how many watch is said in words. */
export function Watchers({ watched }: { watched: Watched }): ReactNode {
  const people = peopleIn(watched);
  if (people === 0) return null;
  const names = watched.watchers.map(({ user }) => user);
  return (
    <span className="watchers" title={names.join(", ") || undefined}>
      {names.slice(0, SHOWN).map((name) => (
        <Avatar key={name} name={name} />
      ))}
      <span className="watchers-text">{watching(people)}</span>
    </span>
  );
}
