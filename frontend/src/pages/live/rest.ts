/** The portal's REST API, with the session's cookie as the login. */

import type { Cursor } from "../../services/positions.js";
import { identityHeader, startOver } from "./user.js";

export const API = "/api/v1";

/** An answer other than success: `status`, and the server's sentence for people. */
export class RestError extends Error {
  override name = "RestError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** A REST answer that a page can go live from. */
export type Positioned<T> = T & { positions: Record<string, number>; epoch: string };

export const cursorOf = ({ positions, epoch }: Positioned<unknown>): Cursor => ({ positions, epoch });

/** GET a JSON answer. Rejects with `RestError`, or with `TypeError` where no answer came. */
export const get = <T>(path: string): Promise<T> => ask<T>("GET", path);

export const post = <T>(path: string): Promise<T> => ask<T>("POST", path);

export const patch = <T>(path: string, body: object): Promise<T> => ask<T>("PATCH", path, body);

async function ask<T>(method: string, path: string, body?: object): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json", ...identityHeader() };
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(path, {
    method,
    headers,
    cache: "no-store",
    credentials: "same-origin",
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  if (response.redirected) throw new RestError(401, "You are signed out."); // a page's own data leads to the sign-in page
  const answer = response.headers.get("Content-Type")?.startsWith("application/json") ? await response.json() : null;
  if (response.ok && answer !== null) return answer as T;
  if (answer?.code === "user_changed") startOver();
  throw new RestError(response.status, answer?.detail ?? `The server answered ${response.status}.`);
}

/** Every page of somebody signed in has a form, and in it the token. */
function csrfToken(): string {
  return document.querySelector<HTMLInputElement>("input[name=csrfmiddlewaretoken]")?.value ?? "";
}
