/** What stands where data will be, could be, or cannot be. */

import type { ReactNode } from "react";
import { RestError } from "@/pages/live/rest.js";

/** Grey bars in the shape of what comes. */
export function Skeleton({ rows = 3, className = "" }: { rows?: number; className?: string }): ReactNode {
  return (
    <div className={`skeleton ${className}`} aria-hidden="true">
      {Array.from({ length: rows }, (_, index) => (
        <span key={index} />
      ))}
    </div>
  );
}

/** The page while its first data is on the way: the same boxes, so that nothing jumps. */
export function PageSkeleton({ what }: { what: string }): ReactNode {
  return (
    <>
      <p className="visually-hidden" role="status">
        Loading {what}…
      </p>
      <div className="page-head skeleton-head">
        <Skeleton rows={2} />
      </div>
      <div className="tiles tiles-app skeleton-tiles">
        {Array.from({ length: 4 }, (_, index) => (
          <div className="tile" key={index}>
            <Skeleton rows={3} />
          </div>
        ))}
      </div>
      <div className="columns">
        <div className="stack">
          <div className="card skeleton-chart">
            <Skeleton rows={1} />
          </div>
          <div className="card skeleton-table">
            <Skeleton rows={6} />
          </div>
        </div>
        <div className="card skeleton-table">
          <Skeleton rows={8} />
        </div>
      </div>
    </>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }): ReactNode {
  return (
    <div className="empty-state">
      <svg className="empty-mark" viewBox="0 0 48 48" aria-hidden="true">
        <circle cx="24" cy="24" r="21" />
        <path d="M15 24.5l6.2 6.2L33.5 18" />
      </svg>
      <p className="empty-title">{title}</p>
      {children && <p className="empty-text">{children}</p>}
    </div>
  );
}

/** Why it cannot be shown, and a way on. */
export function Failure({ error, retry }: { error: Error; retry: () => void }): ReactNode {
  const status = error instanceof RestError ? error.status : 0;
  if (status === 401 || status === 403) {
    return (
      <section className="door" role="alert">
        <h1>You are signed out</h1>
        <p className="lead">Sign in again to go on where you were.</p>
        <a className="button button-primary" href={`/login/?next=${encodeURIComponent(location.pathname + location.search)}`}>
          Sign in
        </a>
      </section>
    );
  }
  return (
    <section className="door" role="alert">
      <h1>{status === 404 ? "Not found" : "That did not load"}</h1>
      <p className="lead">{status === 0 ? "The server did not answer. Your connection may be down." : error.message}</p>
      <button type="button" className="button" onClick={retry}>
        Try again
      </button>
    </section>
  );
}
