/** Who an alert can be given to, as far as this page has met them. The server decides who may have it. */

import { useQuery } from "@tanstack/react-query";
import { presence, type PresenceOverview } from "@/pages/live/watched.js";
import type { Me } from "../boot.js";
import type { Alert } from "../state/alerts.js";

/** Presence also comes by frames; this is for those who watch without a word. */
const EVERY_MS = 15_000;

export const usePresenceOverview = (): PresenceOverview | undefined =>
  useQuery({ queryKey: ["presence"], queryFn: presence, refetchInterval: EVERY_MS }).data;

const met = new Set<string>();

/** Remember who works on these alerts. */
export function meet(alerts: readonly Alert[]): void {
  for (const { assignee, acknowledged_by: by } of alerts) {
    if (assignee) met.add(assignee);
    if (by) met.add(by);
  }
}

/** The others, by name. */
export function others(me: Me, overview: PresenceOverview | undefined): string[] {
  const watching = [overview?.msp, ...Object.values(overview?.clients ?? {})].flatMap((watched) => watched?.watchers ?? []);
  return [...new Set([...met, ...watching.map(({ user }) => user)])].filter((user) => user !== me.username).sort();
}
