/** One alert's page: what others change shows in place; what this user is changing stays, and is told of. */

import type { Bar } from "./bar.js";
import { follow } from "./news.js";

type Field = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

export function liveForm(bar: Bar, alertId: string): void {
  follow(bar, {
    matters: ({ data }) => data.id === alertId,
    show: (page) => {
      if (page) update(bar, page);
      else bar.tell("This alert is not there any more.");
    },
  });
}

/** Shown anew, not worth a word. */
const WITH_EVERY_CHANGE = ".field-updated_at";

function update(bar: Bar, page: Document): void {
  const changed: string[] = [];
  const kept: string[] = [];
  for (const newer of page.querySelectorAll<HTMLElement>("#alert_form .form-row")) {
    const row = document.querySelector<HTMLElement>(`#alert_form .form-row.${fieldClass(newer)}`);
    if (!row) continue;
    const outcome = updateRow(row, newer);
    if (outcome === "changed" && !row.matches(WITH_EVERY_CHANGE)) changed.push(labelOf(row));
    if (outcome === "kept") kept.push(labelOf(row));
  }
  const told = [
    changed.length ? `Changed just now: ${changed.join(", ")}.` : "",
    kept.length ? `Somebody changed ${kept.join(", ")}, and so did you: saving overwrites theirs.` : "",
  ];
  if (told.some(Boolean)) bar.tell(told.filter(Boolean).join(" "));
}

/** Django names a row by its fields: `field-status`. */
const fieldClass = (row: HTMLElement): string => [...row.classList].find((name) => name.startsWith("field-")) ?? "field-none";

const labelOf = (row: HTMLElement): string => (row.querySelector("label")?.textContent ?? "a field").replace(/:\s*$/, "").toLowerCase();

function updateRow(row: HTMLElement, newer: HTMLElement): "same" | "changed" | "kept" {
  const [shown, now] = [row.querySelector<HTMLElement>(".readonly"), newer.querySelector<HTMLElement>(".readonly")];
  if (shown && now) {
    if (shown.innerHTML === now.innerHTML) return "same";
    shown.replaceWith(document.importNode(now, true));
    flash(row);
    return "changed";
  }
  const [field, wanted] = [fieldOf(row), fieldOf(newer)];
  if (!field || !wanted || initialOf(field) === initialOf(wanted)) return "same";
  if (field.value !== initialOf(field)) return "kept";
  take(field, wanted);
  flash(row);
  return "changed";
}

/** Fields that search (application, agent) are left alone: their script has replaced them. */
const fieldOf = (row: HTMLElement): Field | null =>
  row.querySelector<Field>("input:not([type=hidden], [type=checkbox]), textarea, select:not(.admin-autocomplete)");

const initialOf = (field: Field): string =>
  "options" in field
    ? (([...field.options].find((option) => option.defaultSelected) ?? field.options[0])?.value ?? "")
    : field.defaultValue;

function take(field: Field, wanted: Field): void {
  if ("options" in field && "options" in wanted) field.replaceChildren(...[...wanted.options].map((option) => document.importNode(option, true)));
  else if (!("options" in field)) field.defaultValue = initialOf(wanted);
  field.value = initialOf(wanted);
}

function flash(row: HTMLElement): void {
  row.classList.remove("live-changed");
  requestAnimationFrame(() => row.classList.add("live-changed"));
}
