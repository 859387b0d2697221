/** Alerts as elements: items of a feed, rows of the alert centre. Django's templates say how they look. */

import { type Alert, isOpen } from "./alertBook.js";
import { cloneOf, field, write } from "./dom.js";
import { writeTime } from "./times.js";

export interface AlertNaming {
  clientName(id: string): string | undefined;
  clientUrl(id: string): string | undefined;
  username: string;
}

/** Make a row from `template`, ready to be filled; it is seen to arrive. */
export function makeRow(template: HTMLTemplateElement): HTMLElement {
  const row = cloneOf(template);
  row.classList.add("arrived");
  setTimeout(() => row.classList.remove("arrived"), 2000);
  return row;
}

function fillCommon(row: HTMLElement, alert: Alert, naming: AlertNaming): void {
  row.dataset["severity"] = alert.severity;
  row.dataset["status"] = alert.status;
  const severity = row.querySelector<HTMLElement>(".severity");
  if (severity) severity.dataset["severity"] = alert.severity;
  write(severity, alert.severity);
  write(field(row, "details"), alert.details);
  writeTime(row.querySelector("time"), alert.created_at);
  const client = field<HTMLAnchorElement>(row, "client");
  if (client) {
    write(client, naming.clientName(alert.client_id) ?? "");
    client.href = naming.clientUrl(alert.client_id) ?? "";
  }
}

/** Show `button` for a deed only where it can be done; a broadcast that was never saved has no row to do it to. */
function offer(row: HTMLElement, alert: Alert, deed: string, isPossible: boolean): void {
  const button = row.querySelector<HTMLButtonElement>(`button[value=${deed}]`);
  if (!button) return;
  button.hidden = !isPossible || alert.id.includes(":");
  button.setAttribute("formaction", `/alerts/${alert.id}/`);
}

export function fillFeedItem(row: HTMLElement, alert: Alert, naming: AlertNaming): void {
  fillCommon(row, alert, naming);
  write(field(row, "app"), alert.app ?? "");
  write(field(row, "state"), alert.assignee ? `${alert.status} · ${alert.assignee}` : alert.status);
  const seen = field(row, "seen");
  write(seen, `Seen by ${alert.acknowledged_by ?? ""}`);
  if (seen) seen.hidden = !alert.acknowledged_by;
  write(field(row, "what"), ` ${alert.severity} alert: ${alert.details.slice(0, 60)}`);
  offer(row, alert, "acknowledge", isOpen(alert) && !alert.acknowledged_by);
}

export function fillCentreRow(row: HTMLElement, alert: Alert, naming: AlertNaming): void {
  fillCommon(row, alert, naming);
  write(field(row, "about"), [alert.app, alert.family].filter(Boolean).join(" · "));
  const status = field(row, "status");
  if (status) status.dataset["status"] = alert.status;
  write(status, alert.status);
  const people = [alert.assignee, alert.acknowledged_by && `seen by ${alert.acknowledged_by}`];
  write(field(row, "people"), people.filter(Boolean).join(" · "));
  offer(row, alert, "acknowledge", isOpen(alert) && !alert.acknowledged_by);
  offer(row, alert, "assign", isOpen(alert) && alert.assignee !== naming.username);
  offer(row, alert, "complete", isOpen(alert));
  offer(row, alert, "reopen", !isOpen(alert));
}
