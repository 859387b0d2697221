/** Severities, in words and colour: one, or how many there are of each. */

import type { ReactNode } from "react";
import { count } from "@/pages/live/format.js";
import { SEVERITIES, type Severity } from "@/services/vocabulary.js";
import { type BySeverity, sumOf } from "../state/alerts.js";

export const WORST_FIRST: readonly Severity[] = SEVERITIES.toReversed();

export const SeverityBadge = ({ severity }: { severity: Severity }): ReactNode => (
  <span className="severity" data-severity={severity}>
    {severity}
  </span>
);

/** Chips of the severities there are. */
export function SeverityChips({ counts }: { counts: BySeverity }): ReactNode {
  const present = WORST_FIRST.filter((severity) => counts[severity] > 0);
  if (present.length === 0) return <span className="quiet">None</span>;
  return (
    <span className="severities">
      {present.map((severity) => (
        <span key={severity} className="chip" data-severity={severity}>
          <b>{count(counts[severity])}</b> {severity}
        </span>
      ))}
    </span>
  );
}

/** A bar divided by severity, with its legend. */
export function SeverityBar({ counts }: { counts: BySeverity }): ReactNode {
  const total = sumOf(counts);
  return (
    <div className="severity-split">
      <svg className="severity-bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
        {total === 0 && <rect className="severity-none" width="100" height="6" />}
        {parts(counts, total).map(({ severity, start, width }) => (
          <rect key={severity} data-severity={severity} x={start} width={width} height="6" />
        ))}
      </svg>
      <ul className="severity-legend">
        {WORST_FIRST.map((severity) => (
          <li key={severity} data-severity={severity} data-zero={counts[severity] === 0 || undefined}>
            <b>{count(counts[severity])}</b> {severity}
          </li>
        ))}
      </ul>
    </div>
  );
}

function parts(counts: BySeverity, total: number): { severity: Severity; start: number; width: number }[] {
  let start = 0;
  return WORST_FIRST.filter((severity) => counts[severity] > 0).map((severity) => {
    const width = (counts[severity] / total) * 100;
    const part = { severity, start, width: Math.max(width - 0.6, 0.4) };
    start += width;
    return part;
  });
}
