/**
 * How the pages write numbers, changes and times.
 *
 * Django writes them first (`engagement/templatetags/portal.py`), the same way: tests of both read `tests/pages/formats.json`.
 */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const oneDecimal = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** 1,234 */
export const count = (value: number): string => whole.format(value);

/** 1,234.5 */
export const decimal = (value: number): string => oneDecimal.format(value);

/** +12.3 %, −4.0 %, ±0.0 %; a dash where there was nothing to compare with. */
export function change(percent: number | null | undefined): string {
  if (percent == null) return "–";
  const sign = percent > 0 ? "+" : percent < 0 ? "−" : "±";
  return `${sign}${oneDecimal.format(Math.abs(percent))} %`;
}

export type Direction = "up" | "down" | "flat" | "none";

export function direction(percent: number | null | undefined): Direction {
  if (percent == null) return "none";
  return percent > 0 ? "up" : percent < 0 ? "down" : "flat";
}

/** An age in its largest unit. */
export function since(seconds: number): string {
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** 14:02, in the reader's time zone. */
export const timeOfDay = (ms: number): string =>
  new Date(ms).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

/** 14:02:35, in the reader's time zone. */
export const exactTime = (ms: number): string => new Date(ms).toLocaleTimeString("en-GB");

/** The share of `part` in `whole_`, in percent; a dash of nothing. */
export const share = (part: number, whole_: number): string => (whole_ > 0 ? `${decimal((part / whole_) * 100)} %` : "–");

/** What `number` of `noun` are called: 1 alert, 2 alerts. */
export const plural = (number: number, noun: string): string => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

/** The sign of an application or agent: its icon where that is an emoji, else the first letter of its name. */
export const glyph = (icon: string, name: string): string => ((icon.codePointAt(0) ?? 0) > 127 ? icon : name.slice(0, 1).toUpperCase());
