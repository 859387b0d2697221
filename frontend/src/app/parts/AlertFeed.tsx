/** The newest alerts, with what can be done to them at once. */

import { memo, type ReactNode, useEffect, useId, useState } from "react";
import { serverNow } from "@/pages/live/serverClock.js";
import { alertsPath, clientPath, Link } from "../router.js";
import { type Alert, isOpen, isSaved } from "../state/alerts.js";
import { useAssign } from "./Assign.js";
import { useDeeds } from "./deeds.js";
import { Ago } from "./Figures.js";
import { meet } from "./people.js";
import { SeverityBadge } from "./Severities.js";
import { Empty } from "./States.js";

interface Props {
  alerts: readonly Alert[];
  /** Where alerts are of several clients. */
  clientName?: ((id: string) => string | undefined) | undefined;
  /** The alert centre, filtered as this feed is. */
  all: string;
}

export function AlertFeed({ alerts, clientName, all }: Props): ReactNode {
  const titleId = useId();
  useEffect(() => meet(alerts), [alerts]);
  return (
    <section className="card feed" aria-labelledby={titleId}>
      <header className="card-head">
        <h2 id={titleId}>Alerts</h2>
        <Link className="card-link" to={all}>
          All alerts
        </Link>
      </header>
      {alerts.length === 0 ? (
        <Empty title="All quiet">New alerts appear here the moment they are raised.</Empty>
      ) : (
        <ol className="feed-list" tabIndex={0} aria-label="Newest alerts, live">
          {alerts.map((alert) => (
            <FeedItem key={alert.id} alert={alert} client={clientName?.(alert.client_id)} />
          ))}
        </ol>
      )}
    </section>
  );
}

const FeedItem = memo(function FeedItem({ alert, client }: { alert: Alert; client: string | undefined }): ReactNode {
  const assign = useAssign();
  const { mutate, isPending } = useDeeds();
  const what = <span className="visually-hidden"> {`${alert.severity} alert: ${alert.details}`}</span>;
  const canAct = isOpen(alert) && isSaved(alert.id);
  const [isFresh] = useState(() => serverNow() - Date.parse(alert.created_at) < 5000);
  return (
    <li className={isFresh ? "alert arrived" : "alert"} data-alert={alert.id} data-severity={alert.severity} data-status={alert.status}>
      <p className="alert-head">
        <SeverityBadge severity={alert.severity} />
        <span className="alert-app">{alert.app}</span>
        <Ago className="alert-time" iso={alert.created_at} />
      </p>
      <p className="alert-details">
        {isSaved(alert.id) ? <Link to={alertsPath(new URLSearchParams({ status: "any", alert: alert.id }))}>{alert.details}</Link> : alert.details}
      </p>
      <p className="alert-foot">
        {client && (
          <Link className="alert-client" to={clientPath(alert.client_id)}>
            {client}
          </Link>
        )}
        <span>{alert.assignee ? `${alert.status} · ${alert.assignee}` : alert.status}</span>
        {alert.acknowledged_by && <span>Seen by {alert.acknowledged_by}</span>}
        {canAct && (
          <span className="alert-deeds">
            {!alert.acknowledged_by && (
              <button type="button" className="link-button" disabled={isPending} onClick={() => mutate({ alert, deed: { do: "acknowledge" } })}>
                Acknowledge{what}
              </button>
            )}
            <button type="button" className="link-button" onClick={() => assign(alert)}>
              Assign{what}
            </button>
          </span>
        )}
      </p>
    </li>
  );
});
