/** All alerts: filtered, worked off by keyboard, live. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type KeyboardEvent as ReactKeyboardEvent, memo, type ReactNode, useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { count } from "@/pages/live/format.js";
import { alertPage, oneAlert } from "../api.js";
import { centreQuery } from "../live/queries.js";
import { useLive } from "../live/useLive.js";
import { useAssign } from "../parts/Assign.js";
import { useDeeds } from "../parts/deeds.js";
import { Ago } from "../parts/Figures.js";
import { meet } from "../parts/people.js";
import { useClientNames } from "../parts/clients.js";
import { SeverityBadge } from "../parts/Severities.js";
import { Empty, Failure, Skeleton } from "../parts/States.js";
import { tellFailure } from "../parts/toastStore.js";
import { useTitle } from "../parts/useTitle.js";
import { VirtualList } from "../parts/VirtualList.js";
import { alertsPath, navigate, usePlace } from "../router.js";
import { type Alert, isOpen } from "../state/alerts.js";
import { media } from "@/pages/live/media.js";
import { type Centre, type Filter, filterOf, queryOf, withOlder } from "../state/centre.js";
import { AlertDetail } from "./AlertDetail.js";
import { Filters } from "./Filters.js";

const ROW = 68;
const ROW_NARROW = 92;
const narrow = media("(max-width: 760px)");
const onNarrow = (tell: () => void): (() => void) => {
  narrow.addEventListener("change", tell);
  return () => narrow.removeEventListener("change", tell);
};
const idOf = ({ id }: Alert): string => id;

export function AlertCentre(): ReactNode {
  useTitle("Alerts");
  const { query } = usePlace();
  const filter = useMemo(() => filterOf(query), [query]);
  const live = useMemo(() => centreQuery(filter), [filter]);
  const chosen = query.get("alert");
  const { data, error, refetch, isFetching } = useLive(live);
  const go = (next: Filter): void => navigate(alertsPath(queryOf(next)), { replace: true });
  return (
    <div className="centre">
      <header className="centre-head">
        <h1>
          Alerts{" "}
          <span className="centre-count" data-found={data?.found}>
            {data ? count(data.found) : ""}
          </span>
        </h1>
        <Filters filter={filter} onChange={go} />
      </header>
      {data ? (
        <Work key={live.queryKey.join(" ")} centre={data} chosen={chosen} filter={filter} clear={() => go({ ...filterOf(new URLSearchParams()), status: "any" })} />
      ) : error ? (
        <Failure error={error} retry={() => void refetch()} />
      ) : (
        <div className="card centre-wait">{isFetching && <Skeleton rows={12} className="skeleton-rows" />}</div>
      )}
    </div>
  );
}

interface WorkProps {
  centre: Centre;
  chosen: string | null;
  filter: Filter;
  clear: () => void;
}

function Work({ centre, chosen, filter, clear }: WorkProps): ReactNode {
  const { alerts } = centre;
  const names = useClientNames();
  const assign = useAssign();
  const { mutate } = useDeeds();
  const loadMore = useOlder(centre);
  const isNarrow = useSyncExternalStore(onNarrow, () => narrow.matches);
  const [isOpened, setIsOpened] = useState(chosen !== null);
  const detail = useRef<HTMLElement>(null);
  useEffect(() => meet(alerts.slice(0, 200)), [alerts]);

  const selected = useSelected(alerts, chosen);
  const select = useCallback(
    (id: string) => {
      const next = queryOf(filter);
      next.set("alert", id);
      navigate(alertsPath(next), { replace: true });
    },
    [filter],
  );
  const open = (): void => {
    setIsOpened(true);
    requestAnimationFrame(() => detail.current?.focus());
  };
  const close = (): void => {
    setIsOpened(false);
    document.querySelector<HTMLElement>(".virtual")?.focus();
  };
  const press = (key: string): boolean => {
    const at = alerts.findIndex(({ id }) => id === selected?.id);
    const step = STEPS[key];
    if (step !== undefined) {
      const next = alerts[Math.min(Math.max(at + step, 0), alerts.length - 1)];
      if (next) select(next.id);
      return true;
    }
    if (!selected) return false;
    if (key === "Enter") open();
    else if (key === "a" && isOpen(selected) && !selected.acknowledged_by) mutate({ alert: selected, deed: { do: "acknowledge" } });
    else if (key === "i" && isOpen(selected)) assign(selected);
    else if (key === "c" && isOpen(selected)) mutate({ alert: selected, deed: { do: "complete" } });
    else if (key === "r" && !isOpen(selected)) mutate({ alert: selected, deed: { do: "reopen" } });
    else return false;
    return true;
  };
  useShortcuts(press);
  const keyDown = (event: ReactKeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || !press(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <div className="centre-body" data-opened={isOpened || undefined}>
      <section className="card centre-list" aria-label="Alerts found">
        {alerts.length === 0 ? (
          <Empty title="Nothing here">
            No alert matches these filters.{" "}
            <button type="button" className="link-button" onClick={clear}>
              Show all alerts
            </button>
          </Empty>
        ) : (
          <VirtualList
            items={alerts}
            keyOf={idOf}
            rowHeight={isNarrow ? ROW_NARROW : ROW}
            label="Alerts, newest first"
            selected={selected?.id ?? null}
            render={(alert) => <Row alert={alert} client={names.get(alert.client_id)} />}
            onSelect={({ id }) => select(id)}
            onOpen={() => setIsOpened(true)}
            onKeyDown={keyDown}
            onEnd={loadMore}
            total={centre.found}
          />
        )}
        <p className="keys" aria-hidden="true">
          <span>
            <kbd>J</kbd> <kbd>K</kbd> move
          </span>
          <span>
            <kbd>↵</kbd> open
          </span>
          <span>
            <kbd>A</kbd> acknowledge
          </span>
          <span>
            <kbd>I</kbd> assign
          </span>
          <span>
            <kbd>C</kbd> complete
          </span>
          <span>
            <kbd>/</kbd> search
          </span>
        </p>
      </section>
      <AlertDetail alert={selected} client={selected && names.get(selected.client_id)} ref={detail} onClose={close} />
    </div>
  );
}

const STEPS: Record<string, number> = {
  j: 1,
  ArrowDown: 1,
  k: -1,
  ArrowUp: -1,
  PageDown: 10,
  PageUp: -10,
  Home: -Infinity,
  End: Infinity,
};

/** The alert that was chosen, be it among those found or not; the one in its place once it left the list; the first if none was. */
function useSelected(alerts: readonly Alert[], chosen: string | null): Alert | null {
  const [place, setPlace] = useState<{ id: string | null; at: number }>({ id: null, at: 0 });
  const wanted = chosen ?? place.id ?? alerts[0]?.id; // the first one stays selected when others come above it
  const at = alerts.findIndex(({ id }) => id === wanted);
  if (at >= 0 && wanted !== undefined && (place.id !== wanted || place.at !== at)) setPlace({ id: wanted, at });
  const isElsewhere = chosen !== null && at < 0 && place.id !== chosen;
  const { data } = useQuery({ queryKey: ["alert", chosen], queryFn: () => oneAlert(chosen!), enabled: isElsewhere, retry: false });
  if (isElsewhere) return data ?? null;
  return alerts[at >= 0 ? at : Math.min(place.at, alerts.length - 1)] ?? null;
}

/** Keys that work wherever the focus is, but for fields and dialogs. */
function useShortcuts(press: (key: string) => boolean): void {
  const newest = useRef(press);
  useEffect(() => {
    newest.current = press;
  });
  useEffect(() => {
    const listen = (event: KeyboardEvent): void => {
      const target = event.target as Element;
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (target.closest("input, select, textarea, dialog, details")) return;
      if (event.key === "/") document.getElementById("alert-search")?.focus();
      else if (!/^[jkaicr]$/.test(event.key) || !newest.current(event.key)) return;
      event.preventDefault();
    };
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  }, []);
}

/** After a failure, older alerts are not asked for again at once. */
const PAUSE_MS = 5000;

/** Load the next older alerts, one page at a time. */
function useOlder({ alerts, filter, hasMore }: Centre): () => void {
  const queries = useQueryClient();
  const isBusy = useRef(false);
  const load = async (last: Alert): Promise<void> => {
    isBusy.current = true;
    try {
      // All of a page may be known already, where many alerts are of one moment: then the page after it is what we want.
      for (let page = 1, isNews = false; !isNews; page += 1) {
        const answer = await alertPage(filter, last.created_at, page);
        isNews = answer.next === null || answer.results.some(({ id }) => !alerts.some((alert) => alert.id === id));
        if (isNews) queries.setQueryData<Centre>(centreQuery(filter).queryKey, (before) => before && withOlder(before, answer));
      }
    } catch (error) {
      tellFailure("Older alerts did not load", error as Error);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    } finally {
      isBusy.current = false;
    }
  };
  return () => {
    const last = alerts.at(-1);
    if (hasMore && last && !isBusy.current) void load(last);
  };
}

const Row = memo(function Row({ alert, client }: { alert: Alert; client: string | undefined }): ReactNode {
  return (
    <div className="row" data-alert={alert.id} data-severity={alert.severity} data-status={alert.status}>
      <p className="row-head">
        <SeverityBadge severity={alert.severity} />
        <span className="row-app">{alert.app ?? alert.family}</span>
        {client && <span className="row-client">{client}</span>}
        <Ago className="alert-time" iso={alert.created_at} />
      </p>
      <p className="row-foot">
        <span className="row-details">{alert.details}</span>
        {alert.acknowledged_by && <span className="row-seen">Seen</span>}
        <span className="badge" data-status={alert.status}>
          {alert.assignee && alert.status === "Pending" ? alert.assignee : alert.status}
        </span>
      </p>
    </div>
  );
});
