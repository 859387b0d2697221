/** Frames and alerts for the tests beside. */

import type { FrameOf } from "../../services/protocol.js";
import type { Alert } from "./alertBook.js";

export const CLIENT = "c1";
const STREAM = `client.${CLIENT}`;
const TIME = "2026-01-01T12:00:00Z";

export const anAlert = (id: string, more: Partial<Alert> = {}): Alert => ({
  id,
  client_id: CLIENT,
  severity: "high",
  details: `Details of ${id}`,
  app: "ChatGPT",
  family: "",
  status: "Unassigned",
  assignee: null,
  acknowledged_by: null,
  created_at: TIME,
  ...more,
});

export function alertFrame(
  seq: number,
  alert: Alert,
  change: "created" | "updated" | "deleted" = "created",
): FrameOf<"alert"> {
  const data = { ...alert, change } as FrameOf<"alert">["data"];
  return { type: "alert", client_id: alert.client_id, stream: STREAM, seq, timestamp: TIME, data };
}

export const engagementFrame = (seq: number, data: FrameOf<"engagement_update">["data"]): FrameOf<"engagement_update"> => ({
  type: "engagement_update",
  client_id: CLIENT,
  stream: STREAM,
  seq,
  timestamp: TIME,
  data,
});

export const interactionFrame = (seq: number, interaction_count: number): FrameOf<"interaction_update"> => ({
  type: "interaction_update",
  client_id: CLIENT,
  stream: STREAM,
  seq,
  timestamp: TIME,
  data: { app_id: "a1", app: "ChatGPT", interaction_count },
});
