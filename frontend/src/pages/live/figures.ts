/** Figures as elements: table rows, severity chips, totals. */

import { SEVERITIES } from "../../services/vocabulary.js";
import type { BySeverity } from "./alertBook.js";
import { change, count, decimal, direction, glyph } from "./format.js";
import { write } from "./dom.js";
import { writeTime } from "./times.js";

const DECIMALS = new Set(["interactions_per_day", "avg_prompts_per_day", "interactions_per_active_user"]);
const CHANGES = new Set(["trend_pct_7d", "pct_change_vs_prev_7d"]);

/** Write `value` into `target`, as its name wants it. */
export function writeField(target: HTMLElement, name: string, value: unknown): void {
  if (CHANGES.has(name)) writeChange(target, value as number | null);
  else if (target instanceof HTMLTimeElement) writeTime(target, value as string | null);
  else if (DECIMALS.has(name)) write(target, value == null ? "–" : decimal(value as number), true);
  else if (typeof value === "number") write(target, count(value), true);
  else {
    write(target, Array.isArray(value) ? value.join(", ") : String(value ?? ""));
    if (target.dataset["level"] !== undefined) target.dataset["level"] = String(value);
    if (target.dataset["status"] !== undefined) target.dataset["status"] = String(value);
  }
}

/** Write those of `values` that the row has a place for; `name` is what the row is called. */
export function fillFields(row: HTMLElement, values: Readonly<Record<string, unknown>>, name: string): void {
  for (const target of row.querySelectorAll<HTMLElement>("[data-field]")) {
    const key = target.dataset["field"]!;
    if (key === "icon") write(target, glyph(String(values["icon"] ?? ""), name));
    else if (key in values) writeField(target, key, values[key]);
  }
}

export function writeChange(target: HTMLElement, percent: number | null | undefined): void {
  target.dataset["direction"] = direction(percent);
  target.title = percent == null ? "Nothing to compare with in the seven days before" : "";
  write(target, change(percent), true);
}

/** Write how many alerts there are of each severity. */
export function writeSeverities(root: ParentNode, counts: BySeverity): void {
  for (const severity of SEVERITIES) {
    const chip = root.querySelector<HTMLElement>(`.chip[data-severity=${severity}]`);
    if (!chip) continue;
    chip.toggleAttribute("data-zero", counts[severity] === 0);
    write(chip.querySelector("b"), count(counts[severity]), true);
  }
}

/** Write a total of the page. */
export function writeTotal(name: string, text: string): void {
  const target = document.querySelector(`[data-total="${name}"]`);
  write(target, text, target?.classList.contains("tile-value"));
}
