/** All clients of an MSP. */

import { memo, type ReactNode, useEffect, useState } from "react";
import { count, plural } from "@/pages/live/format.js";
import { Spark } from "../charts/Spark.js";
import { LiveChart } from "../charts/LiveChart.js";
import { overviewQuery } from "../live/queries.js";
import { useLive } from "../live/useLive.js";
import { AlertFeed } from "../parts/AlertFeed.js";
import { Ago, Figure } from "../parts/Figures.js";
import { useMe } from "../parts/me.js";
import { usePresenceOverview } from "../parts/people.js";
import { Avatar, Watchers } from "../parts/Presence.js";
import { connected, type PresenceOverview, viewers, watchersOf } from "@/pages/live/watched.js";
import { SeverityBar, SeverityChips } from "../parts/Severities.js";
import { Empty, Failure, PageSkeleton } from "../parts/States.js";
import { alertToast } from "../parts/toastStore.js";
import { useNow } from "../parts/useNow.js";
import { useTitle } from "../parts/useTitle.js";
import { alertsPath, clientPath, Link } from "../router.js";
import { type Activity, perMinute, series } from "../state/activity.js";
import { sumOf } from "../state/alerts.js";
import { type ClientRow, type Overview as Data, totalsOf } from "../state/overview.js";

export function Overview(): ReactNode {
  const me = useMe();
  useTitle(me.msp ?? "Overview");
  const { data, error, refetch } = useLive(overviewQuery);
  const presence = usePresenceOverview();
  if (data) return <Loaded data={data} presence={presence} />;
  if (error) return <Failure error={error} retry={() => void refetch()} />;
  return <PageSkeleton what="the overview" />;
}

function Loaded({ data, presence }: { data: Data; presence: PresenceOverview | undefined }): ReactNode {
  const me = useMe();
  const { clients, activity, feed } = data;
  const names = new Map(clients.map(({ client_id, client }) => [client_id, client]));
  const clientName = (id: string): string | undefined => names.get(id);
  useEffect(() => {
    alertToast.clientName = (id) => clients.find(({ client_id }) => client_id === id)?.client;
  }, [clients]);
  return (
    <>
      <header className="page-head">
        <div>
          <p className="eyebrow">Managed service provider</p>
          <h1>{me.msp}</h1>
        </div>
        {presence?.msp && <Watchers watched={presence.msp} />}
      </header>
      <TotalTiles data={data} />
      <div className="columns">
        <div className="stack">
          <LiveChart activity={activity} nameOf={(id) => clientName(id) ?? "Unknown"} by="By client" />
          <Clients clients={clients} activity={activity} presence={presence} />
          {presence && <Connected presence={presence} clientName={clientName} />}
        </div>
        <AlertFeed alerts={feed.newest} clientName={clientName} all={alertsPath()} />
      </div>
    </>
  );
}

function TotalTiles({ data: { clients, activity } }: { data: Data }): ReactNode {
  const now = useNow();
  const totals = totalsOf(clients);
  return (
    <section className="tiles tiles-app" aria-label="All clients together">
      <div className="tile">
        <h2 className="tile-name">Interactions today</h2>
        <p className="tile-value" data-total="interactions_today">
          <Figure value={totals.interactions_today} />
        </p>
        <p className="tile-note">since midnight, UTC</p>
      </div>
      <div className="tile">
        <h2 className="tile-name">Right now</h2>
        <p className="tile-value">
          <Figure value={perMinute(activity, now)} />
          <small> / min</small>
        </p>
        <Spark values={series(activity, now)} label="Interactions over the last five minutes" />
      </div>
      <div className="tile">
        <h2 className="tile-name">Active people today</h2>
        <p className="tile-value" data-total="active_users">
          <Figure value={totals.active_users} />
        </p>
        <p className="tile-note">across {plural(clients.length, "client")}</p>
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

interface ClientsProps {
  clients: readonly ClientRow[];
  activity: Activity;
  presence: PresenceOverview | undefined;
}

function Clients({ clients, activity, presence }: ClientsProps): ReactNode {
  const [words, setWords] = useState("");
  const now = useNow();
  const shown = clients.filter(({ client, industry }) => `${client} ${industry}`.toLowerCase().includes(words.trim().toLowerCase()));
  return (
    <section className="card" aria-labelledby="clients-title">
      <header className="card-head">
        <h2 id="clients-title">
          Clients <span className="card-hint">{clients.length}</span>
        </h2>
        <div className="search">
          <input type="search" aria-label="Filter clients by name or industry" placeholder="Filter clients" autoComplete="off" value={words} onChange={(change) => setWords(change.target.value)} />
        </div>
      </header>
      {shown.length === 0 ? (
        <Empty title={clients.length ? "No client matches" : "No clients yet"}>{clients.length ? undefined : "They are added in the admin site."}</Empty>
      ) : (
        <table className="table table-cards">
          <thead>
            <tr>
              <th scope="col">Client</th>
              <th scope="col">Last 5 minutes</th>
              <th scope="col" className="num">
                Per minute
              </th>
              <th scope="col" className="num">
                Today
              </th>
              <th scope="col" className="num">
                People
              </th>
              <th scope="col">Open alerts</th>
              <th scope="col" className="num">
                Last activity
              </th>
            </tr>
          </thead>
          <tbody>
            {shown.map((row) => (
              <ClientLine
                key={row.client_id}
                row={row}
                activity={activity.byKey[row.client_id] ? activity : QUIET}
                buckets={activity.byKey[row.client_id]}
                now={now}
                watchers={presence ? watchersOf(presence, row.client_id).length : 0}
              />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

const QUIET: Activity = { untilMs: 0, byKey: {} };

interface LineProps {
  row: ClientRow;
  activity: Activity;
  /** What of `activity` is this client's: the row is drawn anew when it changes. */
  buckets: Activity["byKey"][string] | undefined;
  now: number;
  watchers: number;
}

const ClientLine = memo(
  function ClientLine({ row, activity, now, watchers }: LineProps): ReactNode {
    const id = row.client_id;
    return (
      <tr data-client={id}>
        <th scope="row">
          <Link className="row-link" to={clientPath(id)}>
            {row.client}
          </Link>
          <span className="sub">
            {row.industry}
            {row.status !== "active" && (
              <span className="badge" data-status={row.status}>
                {row.status}
              </span>
            )}
            {viewers(watchers)}
          </span>
        </th>
        <td data-label="Last 5 minutes">
          <Spark values={series(activity, now, id)} label={`${row.client}: interactions over the last five minutes`} />
        </td>
        <td className="num" data-label="Per minute">
          {count(perMinute(activity, now, id))}
        </td>
        <td className="num strong" data-label="Today" data-field="interactions_today">
          <Figure value={row.interactions_today} />
        </td>
        <td className="num" data-label="People" data-field="active_users">
          <Figure value={row.active_users} />
        </td>
        <td data-label="Open alerts" data-field="open_alerts" data-count={sumOf(row.open_alerts)}>
          <SeverityChips counts={row.open_alerts} />
        </td>
        <td className="num quiet" data-label="Last activity">
          <Ago iso={row.last_activity_iso} />
        </td>
      </tr>
    );
  },
  (before, after) =>
    before.row === after.row && before.buckets === after.buckets && before.now === after.now && before.watchers === after.watchers,
);

function Connected({ presence, clientName }: { presence: PresenceOverview; clientName: (id: string) => string | undefined }): ReactNode {
  const people = connected(presence, clientName);
  return (
    <section className="card" aria-labelledby="connected-title">
      <header className="card-head">
        <h2 id="connected-title">
          Connected now <span className="card-hint">{people.length}</span>
        </h2>
      </header>
      {people.length === 0 ? (
        <p className="empty">Nobody else yet.</p>
      ) : (
        <ul className="people">
          {people.map(({ key, user, role, where }) => (
            <li key={key}>
              <Avatar name={user} />
              <span className="people-name">
                {user}
                <span className="sub">{role}</span>
              </span>
              <span className="people-where">{where}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
