/** Seven days: uses as bars, active people as a line; the figures of a day on hover or focus, and all of them as a table to hear. */

import { type ReactNode, useId, useState } from "react";
import { count } from "@/pages/live/format.js";
import type { Day } from "../state/dashboard.js";

const WIDTH = 560;
const HEIGHT = 216;
const TOP = 14;
const BASE = 188;

const weekday = (day: string): string =>
  new Date(`${day}T00:00:00Z`).toLocaleDateString("en", { weekday: "short", timeZone: "UTC" });
const dayOfMonth = (day: string): string =>
  new Date(`${day}T00:00:00Z`).toLocaleDateString("en", { day: "numeric", month: "short", timeZone: "UTC" });

export function Trend({ days }: { days: readonly Day[] }): ReactNode {
  const titleId = useId();
  const [pointed, setPointed] = useState<number | null>(null);
  const mostUses = Math.max(...days.map(({ interactions }) => interactions), 1);
  const mostPeople = Math.max(...days.map(({ active_users }) => active_users), 1);
  const step = WIDTH / Math.max(days.length, 1);
  const y = (share: number): number => BASE - share * (BASE - TOP);
  const x = (index: number): number => step * (index + 0.5);
  const line = days.map(({ active_users }, index) => `${index ? "L" : "M"}${x(index)} ${y((active_users / mostPeople) * 0.92)}`).join("");
  const shown = days[pointed ?? days.length - 1];
  return (
    <section className="card" aria-labelledby={titleId}>
      <header className="card-head">
        <h2 id={titleId}>
          Seven days <span className="card-hint">uses and people</span>
        </h2>
      </header>
      {shown && (
        <p className="chart-legend trend-legend" aria-hidden="true">
          <span className="chart-when">{pointed === null ? "Today" : dayOfMonth(shown.day)}</span>
          <span>
            <i className="chart-key" /> {count(shown.interactions)} uses
          </span>
          <span>
            <i className="chart-key trend-key" /> {count(shown.active_users)} people
          </span>
          <span>
            <i className="chart-key trend-flag" /> {count(shown.flagged)} flagged
          </span>
        </p>
      )}
      <svg className="trend" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" onPointerLeave={() => setPointed(null)}>
        {[0, 0.5, 1].map((share) => (
          <line key={share} className="trend-grid" x1="0" x2={WIDTH} y1={y(share)} y2={y(share)} />
        ))}
        {days.map(({ day, interactions, flagged }, index) => {
          const height = (interactions / mostUses) * (BASE - TOP);
          const flag = (flagged / mostUses) * (BASE - TOP);
          const isToday = index === days.length - 1;
          return (
            <g key={day} onPointerEnter={() => setPointed(index)} data-today={isToday || undefined} data-pointed={index === pointed || undefined}>
              <rect className="trend-reach" x={step * index} y="0" width={step} height={HEIGHT} />
              <rect className="trend-bar" x={x(index) - 17} y={BASE - height} width="34" height={height} rx="4" />
              {flagged > 0 && <rect className="trend-flagged" x={x(index) - 17} y={BASE - flag} width="34" height={flag} rx="2" />}
              <text className="trend-day" x={x(index)} y={HEIGHT - 8}>
                {isToday ? "Today" : weekday(day)}
              </text>
            </g>
          );
        })}
        <path className="trend-line" d={line} />
        {days.map(({ day, active_users }, index) => (
          <circle key={day} className="trend-dot" cx={x(index)} cy={y((active_users / mostPeople) * 0.92)} r="3.2" />
        ))}
      </svg>
      <table className="visually-hidden">
        <caption>Uses, active people and flagged uses, day by day</caption>
        <thead>
          <tr>
            <th scope="col">Day</th>
            <th scope="col">Uses</th>
            <th scope="col">People</th>
            <th scope="col">Flagged</th>
          </tr>
        </thead>
        <tbody>
          {days.map(({ day, interactions, active_users, flagged }) => (
            <tr key={day}>
              <th scope="row">{day}</th>
              <td>{interactions}</td>
              <td>{active_users}</td>
              <td>{flagged}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
