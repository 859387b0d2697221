/** What can be done to an alert, by the buttons that Django rendered; without this script they submit a form. */

import type { RealtimeClient } from "../../services/client.js";
import type { Alert } from "./alertBook.js";
import { API, patch, post } from "./rest.js";
import { tellFailure } from "./toasts.js";

export interface DeedOptions {
  /** Who is at it. */
  username: string;
  /** The connection, once there is one. */
  client: () => RealtimeClient | null;
  alert: (id: string) => Alert | undefined;
  /** The alert as it is now. Its event may come before or after. */
  done: (alert: Alert) => void;
}

/** Let the buttons work without leaving the page. */
export function letDeedsBeDone(options: DeedOptions): void {
  document.addEventListener("click", (click) => {
    const button = (click.target as Element).closest<HTMLButtonElement>("button[name=deed]");
    const id = button?.closest<HTMLElement>("[data-alert]")?.dataset["alert"];
    if (!button || !id) return;
    click.preventDefault();
    void perform(button, id, options);
  });
}

async function perform(button: HTMLButtonElement, id: string, options: DeedOptions): Promise<void> {
  button.disabled = true;
  try {
    const changed = await carryOut(button.value, id, options);
    if (changed) options.done(changed);
  } catch (error) {
    tellFailure("That did not work", (error as Error).message);
  } finally {
    button.disabled = false;
  }
}

/** Do it; return the alert as it is then, or null where its event will tell. */
async function carryOut(deed: string, id: string, { username, client, alert }: DeedOptions): Promise<Alert | null> {
  const address = `${API}/alerts/${id}/`;
  switch (deed) {
    case "acknowledge": {
      const connection = client();
      if (!connection?.isConnected) return post<Alert>(`${address}acknowledge/`);
      const { acknowledged_by } = await connection.request<"acknowledge">({ type: "acknowledge", alert_id: id });
      const known = alert(id);
      return known ? { ...known, acknowledged_by } : null;
    }
    case "assign":
      return patch<Alert>(address, { assignee: username });
    case "complete":
      return patch<Alert>(address, { status: "Complete" });
    case "reopen":
      return patch<Alert>(address, { status: alert(id)?.assignee ? "Pending" : "Unassigned" });
    default:
      throw new Error(`There is no deed ${deed}.`);
  }
}
