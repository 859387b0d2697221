/** What the document brings along (`compliance_portal/spa.py`): who looks, and where their stream stood when it was rendered. */

import type { Cursor } from "@/services/positions.js";

export interface Me {
  id: string;
  username: string;
  name: string;
  role: string | null;
  scope: "msp" | "client" | "all" | null;
  msp: string | null;
  client_id: string | null;
  client: string | null;
  is_staff: boolean;
}

export interface Boot {
  me: Me;
  cursor: Cursor;
  /** Where static files are, with a slash at the end. */
  staticUrl: string;
  root: HTMLElement;
  csrfToken: string;
}

export function readBoot(): Boot {
  const { me, positions, epoch } = JSON.parse(need("boot").textContent) as { me: Me } & Required<Cursor>;
  const root = need("app");
  const token = need("csrf").querySelector<HTMLInputElement>("input[name=csrfmiddlewaretoken]")?.value ?? "";
  return { me, cursor: { positions, epoch }, root, staticUrl: root.dataset["static"] ?? "/static/", csrfToken: token };
}

function need(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The document has no #${id}.`);
  return element;
}
