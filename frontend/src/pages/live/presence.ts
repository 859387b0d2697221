/** Who is connected, on the page: asked for when the socket is there and whenever somebody comes or goes. */

import type { RealtimeClient } from "../../services/client.js";
import { TOPICS } from "../../services/vocabulary.js";
import { RestError } from "./rest.js";
import { initials, peopleIn, presence, type PresenceOverview, tint, type Watched, watching } from "./watched.js";

/** At least so long between two questions: a team that comes to work is one answer. */
const REST_MS = 1000;
const SHOWN = 4;

/** Call `show` with who is there, now and after every change. */
export function followPresence(client: RealtimeClient, show: (overview: PresenceOverview) => void): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = async (): Promise<void> => {
    timer = undefined;
    try {
      show(await presence());
    } catch (error) {
      // The server is away or does not answer us any more: the status line tells, and the next connection brings the next frame.
      if (!(error instanceof TypeError || error instanceof RestError)) throw error;
    }
  };
  client.on("presence", () => (timer ??= setTimeout(() => void look(), REST_MS)));
  client.send({ type: "subscribe", topics: [...TOPICS] });
}

export function avatar(name: string): HTMLElement {
  const circle = document.createElement("span");
  circle.className = "avatar";
  circle.ariaHidden = "true";
  circle.dataset["tint"] = String(tint(name));
  circle.textContent = initials(name);
  return circle;
}

/** A row of initials; how many watch is said in words. */
export function writeWatchers(target: HTMLElement, watched: Watched | null | undefined): void {
  const people = watched ? peopleIn(watched) : 0;
  const names = watched?.watchers.map(({ user }) => user) ?? [];
  const text = document.createElement("span");
  text.className = "watchers-text";
  text.textContent = watching(people);
  target.title = names.join(", ");
  target.replaceChildren(...(people > 0 ? [...names.slice(0, SHOWN).map(avatar), text] : []));
}
