/** One client: how its people use AI, and what was flagged. */

import { memo, type ReactNode, useMemo } from "react";
import { count, decimal, glyph, share } from "@/pages/live/format.js";
import type { AgentFigures, ApplicationFigures, DepartmentFigures } from "@/services/payloads.js";
import { LiveChart } from "../charts/LiveChart.js";
import { Bars } from "../charts/Spark.js";
import { Trend } from "../charts/Trend.js";
import { dashboardQuery } from "../live/queries.js";
import { useLive } from "../live/useLive.js";
import { AlertFeed } from "../parts/AlertFeed.js";
import { Ago, Change, Figure } from "../parts/Figures.js";
import { useMe } from "../parts/me.js";
import { usePresenceOverview } from "../parts/people.js";
import { Watchers } from "../parts/Presence.js";
import { SeverityBar } from "../parts/Severities.js";
import { Failure, PageSkeleton } from "../parts/States.js";
import { useNow } from "../parts/useNow.js";
import { useTitle } from "../parts/useTitle.js";
import { alertsPath, BASE, Link } from "../router.js";
import { perMinute } from "../state/activity.js";
import { sumOf } from "../state/alerts.js";
import type { Dashboard } from "../state/dashboard.js";

export function ClientView({ clientId }: { clientId: string }): ReactNode {
  const query = useMemo(() => dashboardQuery(clientId), [clientId]);
  const { data, error, refetch } = useLive(query);
  useTitle(data?.figures.client ?? "Client");
  if (data) return <Loaded data={data} />;
  if (error) return <Failure error={error} retry={() => void refetch()} />;
  return <PageSkeleton what="the client" />;
}

function Loaded({ data }: { data: Dashboard }): ReactNode {
  const me = useMe();
  const presence = usePresenceOverview();
  const { figures, activity, feed, names, clientId } = data;
  const watched = presence?.clients[clientId];
  return (
    <>
      <header className="page-head">
        <div>
          <p className="eyebrow">{me.scope === "client" ? "Client" : <Link to={BASE}>← {me.msp}</Link>}</p>
          <h1>{figures.client}</h1>
        </div>
        {watched && <Watchers watched={watched} />}
      </header>
      <Tiles data={data} />
      <div className="columns">
        <div className="stack">
          <LiveChart activity={activity} nameOf={(key) => names[key] ?? "Unknown"} by="By service" />
          <div className="pair">
            <Trend days={figures.productivity.series} />
            <Departments rows={figures.departments} />
          </div>
          <Applications rows={figures.applications} />
          <Agents rows={figures.agents} />
        </div>
        <AlertFeed alerts={feed.newest} all={alertsPath(new URLSearchParams(me.scope === "client" ? {} : { client: clientId }))} />
      </div>
    </>
  );
}

function Tiles({ data: { figures, activity } }: { data: Dashboard }): ReactNode {
  const now = useNow();
  const { totals, productivity } = figures;
  return (
    <section className="tiles tiles-app tiles-app-5" aria-label="The client as a whole">
      <div className="tile">
        <h2 className="tile-name">Interactions today</h2>
        <p className="tile-value" data-total="interactions_today">
          <Figure value={totals.interactions_today} />
        </p>
        <p className="tile-note">
          {count(totals.active_users_today)} people · {count(perMinute(activity, now))} / min
        </p>
      </div>
      <div className="tile">
        <h2 className="tile-name">Seven days</h2>
        <p className="tile-value" data-total="interactions_7d">
          <Figure value={totals.interactions_7d} />
        </p>
        <Bars values={productivity.series.map(({ interactions }) => interactions)} />
        <p className="tile-note">
          <Change percent={totals.pct_change_vs_prev_7d} note="vs the 7 before" />
        </p>
      </div>
      <div className="tile">
        <h2 className="tile-name">Productivity</h2>
        <p className="tile-value">
          <Figure value={productivity.interactions_per_active_user} format={decimal} />
        </p>
        <p className="tile-note">
          <Change percent={productivity.pct_change_vs_prev_7d} note="· per person, day" />
        </p>
      </div>
      <div className="tile">
        <h2 className="tile-name">Flagged, seven days</h2>
        <p className="tile-value" data-total="flagged_7d">
          <Figure value={totals.flagged_7d} />
        </p>
        <p className="tile-note">{share(totals.flagged_7d, totals.interactions_7d)} of all uses</p>
      </div>
      <div className="tile tile-wide">
        <h2 className="tile-name">Open alerts</h2>
        <p className="tile-value" data-total="open_alerts">
          <Figure value={sumOf(totals.open_alerts)} />
        </p>
        <SeverityBar counts={totals.open_alerts} />
      </div>
    </section>
  );
}

function Departments({ rows }: { rows: readonly DepartmentFigures[] }): ReactNode {
  const most = Math.max(...rows.map(({ interactions }) => interactions), 1);
  return (
    <section className="card" aria-labelledby="departments-title">
      <header className="card-head">
        <h2 id="departments-title">
          Departments <span className="card-hint">7 days</span>
        </h2>
      </header>
      {rows.length === 0 ? (
        <p className="empty">No departments yet.</p>
      ) : (
        <ul className="ranked">
          {rows.toSorted((a, b) => b.interactions - a.interactions).map((row) => (
            <Department key={row.department_id} row={row} most={most} />
          ))}
        </ul>
      )}
    </section>
  );
}

const Department = memo(function Department({ row, most }: { row: DepartmentFigures; most: number }): ReactNode {
  return (
    <li data-row={row.department_id}>
      <p className="ranked-head">
        <span className="ranked-name">{row.department}</span>
        <span className="quiet">{count(row.active_users)} people</span>
        <span className="ranked-value">
          <Figure value={row.interactions} />
        </span>
        <Change percent={row.pct_change_vs_prev_7d} />
      </p>
      <svg className="ranked-bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
        <rect className="ranked-track" width="100" height="4" rx="0.5" />
        <rect className="ranked-fill" width={(row.interactions / most) * 100} height="4" rx="0.5" />
      </svg>
    </li>
  );
});

function Applications({ rows }: { rows: readonly ApplicationFigures[] }): ReactNode {
  return (
    <section className="card" aria-labelledby="applications-title">
      <header className="card-head">
        <h2 id="applications-title">
          Applications <span className="card-hint">{rows.length}</span>
        </h2>
      </header>
      {rows.length === 0 ? (
        <p className="empty">No applications yet.</p>
      ) : (
        <table className="table table-cards">
          <thead>
            <tr>
              <th scope="col">Application</th>
              <th scope="col">Status</th>
              <th scope="col" className="num">
                People
              </th>
              <th scope="col" className="num">
                Uses a day
              </th>
              <th scope="col" className="num">
                Trend, 7 days
              </th>
              <th scope="col">Utilization</th>
              <th scope="col">Recommendation</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <Application key={row.app_id} row={row} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

const Application = memo(function Application({ row }: { row: ApplicationFigures }): ReactNode {
  return (
    <tr data-row={row.app_id}>
      <th scope="row">
        <Named icon={row.icon} name={row.application} vendor={row.vendor} />
      </th>
      <td data-label="Status">
        <span className="badge" data-status={row.status}>
          {row.status}
        </span>
      </td>
      <td className="num" data-label="People">
        <Figure value={row.active_users} />
      </td>
      <td className="num strong" data-label="Uses a day">
        <Figure value={row.interactions_per_day} format={decimal} />
      </td>
      <td className="num" data-label="Trend, 7 days">
        <Change percent={row.trend_pct_7d} />
      </td>
      <td data-label="Utilization">
        <span className="level" data-level={row.utilization}>
          {row.utilization}
        </span>
      </td>
      <td className="quiet" data-label="Recommendation">
        {row.recommendation}
      </td>
    </tr>
  );
});

function Agents({ rows }: { rows: readonly AgentFigures[] }): ReactNode {
  return (
    <section className="card" aria-labelledby="agents-title">
      <header className="card-head">
        <h2 id="agents-title">
          Agents <span className="card-hint">{rows.length}</span>
        </h2>
      </header>
      {rows.length === 0 ? (
        <p className="empty">No agents yet.</p>
      ) : (
        <table className="table table-cards">
          <thead>
            <tr>
              <th scope="col">Agent</th>
              <th scope="col">Momentum</th>
              <th scope="col" className="num">
                Prompts a day
              </th>
              <th scope="col" className="num">
                Flagged
              </th>
              <th scope="col" className="num">
                Trend, 7 days
              </th>
              <th scope="col">Works with</th>
              <th scope="col" className="num">
                Last activity
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <Agent key={row.agent_id} row={row} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

const Agent = memo(function Agent({ row }: { row: AgentFigures }): ReactNode {
  return (
    <tr data-row={row.agent_id}>
      <th scope="row">
        <Named icon={row.icon} name={row.agent} vendor={row.deployed ? row.vendor : `${row.vendor} · not deployed`} />
      </th>
      <td data-label="Momentum">
        <span className="level" data-level={row.status}>
          {row.status}
        </span>
      </td>
      <td className="num strong" data-label="Prompts a day">
        <Figure value={row.avg_prompts_per_day} format={decimal} />
      </td>
      <td className="num" data-label="Flagged">
        <Figure value={row.flagged_actions} />
      </td>
      <td className="num" data-label="Trend, 7 days">
        <Change percent={row.trend_pct_7d} />
      </td>
      <td className="quiet" data-label="Works with">
        {row.associated_apps.join(", ") || "–"}
      </td>
      <td className="num quiet" data-label="Last activity">
        <Ago iso={row.last_activity_iso} />
      </td>
    </tr>
  );
});

const Named = ({ icon, name, vendor }: { icon: string; name: string; vendor: string }): ReactNode => (
  <span className="name">
    <span className="glyph" aria-hidden="true">
      {glyph(icon, name)}
    </span>
    <span>
      {name}
      <span className="sub">{vendor}</span>
    </span>
  </span>
);
