/** What one page of the alert centre shows: the alerts found, and those that arrive and match. */

import type { EventFrame } from "../../services/protocol.js";
import { type Alert, AlertBook, alertOf, isNew, isOpen } from "./alertBook.js";

/** The filters, as the page's address writes them; an empty one leaves nothing out, but for `status`: open ones. */
export interface Filters {
  q: string;
  severity: string;
  status: string;
  client: string;
}

export const filtersOf = (query: URLSearchParams): Filters => ({
  q: (query.get("q") ?? "").trim(),
  severity: query.get("severity") ?? "",
  status: query.get("status") ?? "",
  client: query.get("client") ?? "",
});

/** The same question to REST. */
export function restQuery({ q, severity, status, client }: Filters, page: number, perPage: number): URLSearchParams {
  const query = new URLSearchParams({ page: String(page), page_size: String(perPage) });
  if (q) query.set("search", q);
  if (severity) query.set("severity", severity);
  if (client) query.set("client", client);
  if (!status) query.set("open", "true");
  else if (status !== "any") query.set("status", status);
  return query;
}

/** Say whether the server would find the alert. */
export function matches(alert: Alert, { q, severity, status, client }: Filters): boolean {
  if (severity && alert.severity !== severity) return false;
  if (client && alert.client_id !== client) return false;
  if (status ? status !== "any" && alert.status !== status : !isOpen(alert)) return false;
  const text = `${alert.details}\n${alert.family}\n${alert.app ?? ""}`.toLowerCase();
  return q.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

export class CentreModel {
  isStale = false;
  /** How many there are on all pages. */
  found = 0;
  /** New ones that belong on the first page, where this is a later one. */
  unseen = 0;
  readonly alerts: AlertBook;
  readonly #filters: Filters;
  readonly #isFirstPage: boolean;

  constructor(filters: Filters, page: number, perPage: number) {
    this.#filters = filters;
    this.#isFirstPage = page === 1;
    this.alerts = new AlertBook(perPage);
  }

  load(found: number, alerts: readonly Alert[]): void {
    this.found = found;
    this.alerts.load(alerts);
    this.isStale = false;
  }

  /** An alert on the page that no longer matches stays until the page is loaded anew: rows do not vanish under the pointer. */
  apply(frame: EventFrame): void {
    if (frame.type !== "alert") return;
    const alert = alertOf(frame);
    if (frame.data.change === "deleted") {
      this.alerts.apply(frame);
      this.isStale = true;
      return;
    }
    const isKnown = this.alerts.get(alert.id) !== undefined;
    const isArrival = !isKnown && isNew(frame) && matches(alert, this.#filters);
    this.alerts.put(alert, isArrival && this.#isFirstPage);
    if (!isArrival) return;
    this.found += 1;
    if (!this.#isFirstPage) this.unseen += 1;
  }
}
