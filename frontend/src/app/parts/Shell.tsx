/** What stands around every view: the bar on top, the jump to a client, the toasts. */

import { type ReactNode, useEffect, useRef, useState } from "react";
import { Link, usePlace, alertsPath, BASE, clientPath, connectionPath, navigate } from "../router.js";
import { useClientNames } from "./clients.js";
import { useBoot } from "./me.js";
import { Palette } from "./Palette.js";
import { Avatar } from "./Presence.js";
import { roleName } from "@/pages/live/watched.js";
import { Status } from "./Status.js";
import { isDark, setTheme } from "./theme.js";
import { Toasts } from "./Toasts.js";

export function Shell({ children }: { children: ReactNode }): ReactNode {
  return (
    <>
      <a className="skip" href="#main" onClick={skip}>
        Skip to content
      </a>
      <TopBar />
      <main id="main" className="page" tabIndex={-1}>
        {children}
      </main>
      <Toasts />
    </>
  );
}

const skip = (click: { preventDefault(): void }): void => {
  click.preventDefault(); // the address stays that of the view
  document.getElementById("main")?.focus();
};

function TopBar(): ReactNode {
  const { me, staticUrl } = useBoot();
  const { parts } = usePlace();
  const [section] = parts;
  const isAtHome = section === undefined || section === "clients";
  const current = (is: boolean): "page" | undefined => (is ? "page" : undefined);
  return (
    <header className="topbar">
      <div className="topbar-inner">
        <Link className="brand" to={BASE} aria-label="Compliance portal">
          <img src={`${staticUrl}engagement/mark.svg`} alt="" width="22" height="22" />
          <span>Compliance portal</span>
        </Link>
        <nav className="nav" aria-label="Main">
          <Link to={BASE} aria-current={current(isAtHome)}>
            {me.client_id === null ? "Overview" : "Dashboard"}
          </Link>
          <Link to={alertsPath()} aria-current={current(section === "alerts")}>
            Alerts
          </Link>
          <Link to={connectionPath} aria-current={current(section === "connection")}>
            Connection
          </Link>
        </nav>
        <div className="topbar-end">
          <Status />
          {me.client_id === null && <Jump />}
          <ThemeButton />
          <Account />
        </div>
      </div>
    </header>
  );
}

/** To another client, by name. */
function Jump(): ReactNode {
  const names = useClientNames();
  const [isOpen, setIsOpen] = useState(false);
  useEffect(() => {
    const listen = (press: KeyboardEvent): void => {
      if (press.key.toLowerCase() !== "k" || !(press.metaKey || press.ctrlKey)) return;
      press.preventDefault();
      setIsOpen(true);
    };
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  }, []);
  const options = [
    ...[...names].map(([id, label]) => ({ id: clientPath(id), label, hint: "Client" })),
    { id: BASE, label: "Overview", hint: "View" },
    { id: alertsPath(), label: "Alerts", hint: "View" },
    { id: connectionPath, label: "Connection", hint: "View" },
  ];
  return (
    <>
      <button type="button" className="jump" aria-keyshortcuts="Control+K" onClick={() => setIsOpen(true)}>
        <svg className="icon" viewBox="0 0 20 20" aria-hidden="true">
          <circle cx="9" cy="9" r="5.2" />
          <path d="M13 13l4 4" />
        </svg>
        <span className="jump-text">Jump to…</span>
        <kbd aria-hidden="true">Ctrl K</kbd>
      </button>
      {isOpen && <Palette title="Jump to" placeholder="Jump to a client or view" options={options} onChoose={({ id }) => navigate(id)} onClose={() => setIsOpen(false)} />}
    </>
  );
}

function ThemeButton(): ReactNode {
  return (
    <button type="button" className="icon-button" aria-label="Switch theme" onClick={() => setTheme(isDark() ? "light" : "dark")}>
      <svg className="icon icon-sun" viewBox="0 0 20 20" aria-hidden="true">
        <circle cx="10" cy="10" r="3.6" />
        <path d="M10 1.8v2M10 16.2v2M1.8 10h2M16.2 10h2M4.2 4.2l1.4 1.4M14.4 14.4l1.4 1.4M4.2 15.8l1.4-1.4M14.4 5.6l1.4-1.4" />
      </svg>
      <svg className="icon icon-moon" viewBox="0 0 20 20" aria-hidden="true">
        <path d="M16.8 12A7.2 7.2 0 0 1 8 3.2a7.2 7.2 0 1 0 8.8 8.8Z" />
      </svg>
    </button>
  );
}

function Account(): ReactNode {
  const { me, csrfToken } = useBoot();
  const menu = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (click: MouseEvent): void => {
      if (menu.current && !menu.current.contains(click.target as Node)) menu.current.open = false;
    };
    document.addEventListener("click", close);
    return () => document.removeEventListener("click", close);
  }, []);
  return (
    <details
      className="menu"
      ref={menu}
      onKeyDown={(press) => {
        if (press.key !== "Escape" || !menu.current) return;
        menu.current.open = false;
        menu.current.querySelector("summary")?.focus();
      }}
    >
      <summary>
        <Avatar name={me.name} />
        <span className="visually-hidden">Account of {me.username}</span>
      </summary>
      <div className="menu-panel">
        <p className="menu-who">
          <strong>{me.name}</strong>
          <span>
            {roleName(me.role)} · {me.client ?? me.msp}
          </span>
        </p>
        <a className="menu-item" href="/">
          Classic pages
        </a>
        {me.is_staff && (
          <a className="menu-item" href="/admin/">
            Admin site
          </a>
        )}
        <form method="post" action="/logout/">
          <input type="hidden" name="csrfmiddlewaretoken" value={csrfToken} />
          <button className="menu-item" type="submit">
            Sign out
          </button>
        </form>
      </div>
    </details>
  );
}
