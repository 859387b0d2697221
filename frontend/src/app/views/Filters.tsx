/** The alert centre's filters. */

import { type ReactNode, useEffect, useState } from "react";
import { useClientNames } from "../parts/clients.js";
import { useMe } from "../parts/me.js";
import { WORST_FIRST } from "../parts/Severities.js";
import type { Filter } from "../state/centre.js";

const STATUSES: readonly (readonly [Filter["status"], string])[] = [
  ["open", "Open"],
  ["Unassigned", "Unassigned"],
  ["Pending", "Pending"],
  ["Complete", "Complete"],
  ["AI Resolved", "AI resolved"],
  ["any", "Any status"],
];

/** Typing is asked about once it pauses. */
const PAUSE_MS = 250;

export function Filters({ filter, onChange }: { filter: Filter; onChange: (filter: Filter) => void }): ReactNode {
  const me = useMe();
  const names = useClientNames();
  const [words, setWords] = useState(filter.search);
  const [asked, setAsked] = useState(filter.search);
  if (asked !== filter.search) {
    setAsked(filter.search);
    setWords(filter.search); // the address changed by other means
  }
  useEffect(() => {
    if (words === filter.search) return undefined;
    const timer = setTimeout(() => onChange({ ...filter, search: words }), PAUSE_MS);
    return () => clearTimeout(timer);
  });
  const toggle = (severity: Filter["severities"][number]): void => {
    const { severities } = filter;
    onChange({
      ...filter,
      severities: severities.includes(severity) ? severities.filter((other) => other !== severity) : [...severities, severity],
    });
  };
  return (
    <div className="centre-filters" role="search" aria-label="Filter alerts">
      <input
        id="alert-search"
        className="centre-search"
        type="search"
        aria-label="Search alerts"
        placeholder="Search alerts"
        autoComplete="off"
        value={words}
        onChange={(change) => setWords(change.target.value)}
        onKeyDown={(press) => press.key === "Escape" && press.currentTarget.blur()}
      />
      <div className="pills" role="group" aria-label="Severity">
        {WORST_FIRST.map((severity) => (
          <button key={severity} type="button" className="pill" data-severity={severity} aria-pressed={filter.severities.includes(severity)} onClick={() => toggle(severity)}>
            {severity}
          </button>
        ))}
      </div>
      <select aria-label="Status" value={filter.status} onChange={(change) => onChange({ ...filter, status: change.target.value as Filter["status"] })}>
        {STATUSES.map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
      {names.size > 1 && (
        <select aria-label="Client" value={filter.client} onChange={(change) => onChange({ ...filter, client: change.target.value })}>
          <option value="">All clients</option>
          {[...names].map(([id, name]) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
        </select>
      )}
      <button type="button" className="pill" aria-pressed={filter.assignee === me.username} onClick={() => onChange({ ...filter, assignee: filter.assignee ? "" : me.username })}>
        Mine
      </button>
    </div>
  );
}
