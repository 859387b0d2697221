/** The alert feed beside a dashboard. */

import type { Alert } from "./alertBook.js";
import { type AlertNaming, fillFeedItem, makeRow } from "./alertRows.js";
import { arrange, element } from "./dom.js";

export class Feed {
  readonly #list = element("feed");
  readonly #empty = element("feed-empty");
  readonly #template = element<HTMLTemplateElement>("feed-item");
  readonly #naming: AlertNaming;

  constructor(naming: AlertNaming) {
    this.#naming = naming;
  }

  render(alerts: readonly Alert[]): void {
    arrange(
      this.#list,
      "alert",
      alerts,
      (alert) => alert.id,
      () => makeRow(this.#template),
      (row, alert) => fillFeedItem(row, alert, this.#naming),
    );
    this.#empty.hidden = alerts.length > 0;
  }
}
