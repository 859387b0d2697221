/** The list of alerts: rows that changed change in place, new ones are offered. */

import type { Bar } from "./bar.js";
import { follow } from "./news.js";

/** Django's own script for the list, which counts the checked rows. */
declare global {
  interface Window {
    Actions?: (boxes: NodeListOf<HTMLInputElement>) => void;
  }
}

const CHANGE = /\/alert\/([0-9a-f-]{36})\/change\//;

export function liveList(bar: Bar): void {
  follow(bar, {
    matters: () => true,
    show: (page) => {
      if (page) update(bar, page);
      else bar.tell("You are signed out.");
    },
  });
}

/** Rows by the alert's id. */
function rowsOf(page: Document): Map<string, HTMLTableRowElement> {
  const rows = [...page.querySelectorAll<HTMLTableRowElement>("#result_list tbody tr")];
  return new Map(rows.map((row) => [CHANGE.exec(row.querySelector<HTMLAnchorElement>("th a, td a")?.getAttribute("href") ?? "")?.[1] ?? "", row]));
}

function update(bar: Bar, page: Document): void {
  const [now, then] = [rowsOf(page), rowsOf(document)];
  for (const [id, row] of then) {
    const newer = now.get(id);
    if (newer) replaceCells(row, newer);
  }
  const added = [...now.keys()].filter((id) => !then.has(id));
  if (added.length === 0) bar.tell("");
  else {
    const text = `${added.length} new alert${added.length === 1 ? "" : "s"}`;
    bar.tell(text, { label: "Show", action: () => showAll(bar, page, added) });
  }
}

/** All cells but the checkbox, which may be checked. */
function replaceCells(row: HTMLTableRowElement, newer: HTMLTableRowElement): void {
  const cells = [...row.cells];
  const isChanged = [...newer.cells].map((cell, index) => {
    const old = cells[index];
    if (!old || cell.classList.contains("action-checkbox") || old.innerHTML === cell.innerHTML) return false;
    old.replaceWith(document.importNode(cell, true));
    return true;
  });
  if (isChanged.some(Boolean)) flash(row);
}

/** The whole list as it is now, with what was checked. */
function showAll(bar: Bar, page: Document, added: readonly string[]): void {
  const form = document.getElementById("changelist-form");
  const newer = page.getElementById("changelist-form");
  if (!form || !newer) {
    location.reload(); // there was no list, as nothing was found
    return;
  }
  const checked = new Set([...form.querySelectorAll<HTMLInputElement>("input.action-select:checked")].map(({ value }) => value));
  form.replaceWith(document.importNode(newer, true));
  const boxes = document.querySelectorAll<HTMLInputElement>("tr input.action-select");
  window.Actions?.(boxes);
  for (const box of boxes) {
    box.checked = checked.has(box.value);
    if (box.checked) box.dispatchEvent(new Event("change", { bubbles: true })); // Django's script counts by events
  }
  const rows = rowsOf(document);
  for (const id of added) {
    const row = rows.get(id);
    if (row) flash(row);
  }
  bar.tell("");
}

function flash(row: HTMLElement): void {
  row.classList.remove("live-changed");
  requestAnimationFrame(() => row.classList.add("live-changed"));
}
