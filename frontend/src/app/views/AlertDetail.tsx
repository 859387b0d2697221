/** An alert in full, and what can be done to it. */

import { type ReactNode, type Ref } from "react";
import { count, exactTime } from "@/pages/live/format.js";
import { useAssign } from "../parts/Assign.js";
import { type Deed, useDeeds } from "../parts/deeds.js";
import { useMe } from "../parts/me.js";
import { SeverityBadge } from "../parts/Severities.js";
import { Empty } from "../parts/States.js";
import { clientPath, Link } from "../router.js";
import { type Alert, isOpen } from "../state/alerts.js";

interface Props {
  alert: Alert | null;
  client: string | undefined | null;
  ref: Ref<HTMLElement>;
  onClose: () => void;
}

export function AlertDetail({ alert, client, ref, onClose }: Props): ReactNode {
  return (
    <section className="card detail" aria-label="The selected alert" tabIndex={-1} ref={ref} onKeyDown={(event) => event.key === "Escape" && onClose()}>
      <button type="button" className="icon-button detail-close" aria-label="Close" onClick={onClose}>
        ×
      </button>
      {alert ? <Loaded alert={alert} client={client} /> : <Empty title="Nothing selected">Choose an alert to see it here.</Empty>}
    </section>
  );
}

const moment = (iso: string | null): string =>
  iso === null ? "–" : `${new Date(iso).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" })}, ${exactTime(Date.parse(iso))}`;

function Loaded({ alert, client }: { alert: Alert; client: string | undefined | null }): ReactNode {
  const me = useMe();
  const assign = useAssign();
  const { mutate, isPending } = useDeeds();
  const perform = (deed: Deed) => () => mutate({ alert, deed });
  return (
    <div className="detail-body" data-detail={alert.id}>
      <p className="detail-marks">
        <SeverityBadge severity={alert.severity} />
        <span className="badge" data-status={alert.status}>
          {alert.status}
        </span>
      </p>
      <h2 className="detail-title">{alert.details || "No details"}</h2>
      <div className="detail-deeds">
        {isOpen(alert) ? (
          <>
            {!alert.acknowledged_by && (
              <button type="button" className="button button-primary" disabled={isPending} onClick={perform({ do: "acknowledge" })}>
                Acknowledge <kbd aria-hidden="true">A</kbd>
              </button>
            )}
            {alert.assignee !== me.username && (
              <button type="button" className="button" disabled={isPending} onClick={perform({ do: "assign", assignee: me.username })}>
                Take it
              </button>
            )}
            <button type="button" className="button" onClick={() => assign(alert)}>
              Assign… <kbd aria-hidden="true">I</kbd>
            </button>
            <button type="button" className="button" disabled={isPending} onClick={perform({ do: "complete" })}>
              Complete <kbd aria-hidden="true">C</kbd>
            </button>
          </>
        ) : (
          <button type="button" className="button" disabled={isPending} onClick={perform({ do: "reopen" })}>
            Reopen <kbd aria-hidden="true">R</kbd>
          </button>
        )}
      </div>
      <dl className="facts">
        {client && (
          <>
            <dt>Client</dt>
            <dd>
              <Link className="text-link" to={clientPath(alert.client_id)}>
                {client}
              </Link>
            </dd>
          </>
        )}
        <dt>{alert.asset_kind === "agent" ? "Agent" : "Application"}</dt>
        <dd>{alert.app ?? "–"}</dd>
        <dt>Kind</dt>
        <dd>{[alert.family, alert.subtype].filter(Boolean).join(" · ") || "–"}</dd>
        <dt>People affected</dt>
        <dd>{count(alert.users_affected)}</dd>
        <dt>Happened</dt>
        <dd>{alert.count === 1 ? "once" : `${count(alert.count)} times`}</dd>
        <dt>Frameworks</dt>
        <dd>
          {alert.frameworks.length === 0
            ? "–"
            : alert.frameworks.map((name) => (
                <span key={name} className="badge">
                  {name}
                </span>
              ))}
        </dd>
        <dt>Assigned to</dt>
        <dd>{alert.assignee ?? "Nobody"}</dd>
        <dt>Seen by</dt>
        <dd>{alert.acknowledged_by ? `${alert.acknowledged_by}, ${moment(alert.acknowledged_at)}` : "Nobody yet"}</dd>
        <dt>Raised</dt>
        <dd>{moment(alert.created_at)}</dd>
        <dt>Changed</dt>
        <dd>{moment(alert.updated_at)}</dd>
      </dl>
    </div>
  );
}
