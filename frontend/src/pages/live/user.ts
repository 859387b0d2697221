/** Whose page this is. Another window of the browser may sign out, and in as somebody else: the cookie is shared, the page is not. */

import type { RealtimeClient } from "../../services/client.js";

/** The id of the user whom Django made the page for. */
export const pageUser = (): string | undefined => document.querySelector<HTMLMetaElement>('meta[name="user"]')?.content;

/** The same, as an option of the client. */
export function pageIdentity(): { userId?: string } {
  const userId = pageUser();
  return userId ? { userId } : {};
}

/** The same, as a header of a request: the server answers 409 `user_changed` if the session is another user's. */
export function identityHeader(): Record<string, string> {
  const userId = pageUser();
  return userId ? { "X-Page-User": userId } : {};
}

let isLeaving = false;

/** Somebody else is signed in: take away what the page shows and load it anew, as theirs. */
export function startOver(): void {
  if (isLeaving) return;
  isLeaving = true;
  const note = document.createElement("p");
  note.setAttribute("role", "alert");
  note.textContent = "The sign-in has changed in another window. Loading this page again…";
  document.body.replaceChildren(note);
  location.reload();
}

/** Start over once the server says that the connection is not this page's user's any more. */
export function startOverIfOther(client: Pick<RealtimeClient, "getSnapshot" | "subscribe">): () => void {
  return client.subscribe(() => {
    if (client.getSnapshot().error?.code === "user_changed") startOver();
  });
}
