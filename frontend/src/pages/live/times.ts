/** Ages that grow: every `<time data-ago>` of the page. */

import { exactTime, since } from "./format.js";
import { serverNow } from "./serverClock.js";
import { write } from "./dom.js";

const EVERY_MS = 10_000;

/** Show when `iso` was. */
export function writeTime(target: HTMLTimeElement | null, iso: string | null): void {
  if (!target || target.dateTime === (iso ?? "")) return;
  target.dateTime = iso ?? "";
  age(target);
}

/** Let the page's ages grow. */
export function letTimePass(): void {
  const all = (): void => document.querySelectorAll<HTMLTimeElement>("time[data-ago]").forEach(age);
  all();
  setInterval(all, EVERY_MS);
}

function age(target: HTMLTimeElement): void {
  const then = Date.parse(target.dateTime);
  if (Number.isNaN(then)) return write(target, "–");
  write(target, since((serverNow() - then) / 1000));
  target.title = `${new Date(then).toLocaleDateString("en-CA")} ${exactTime(then)}`;
}
