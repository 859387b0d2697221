/** Events and alerts for tests. */

import type { EventFrame } from "@/services/protocol.js";
import type { AlertData, InteractionData } from "@/services/payloads.js";
import type { Alert } from "../state/alerts.js";
import type { AlertPage } from "../state/overview.js";

export const STREAM = "client.c1";

export function alert(fields: Partial<Alert> & { id: string }): Alert {
  return {
    client_id: "c1",
    severity: "high",
    details: `Details of ${fields.id}`,
    app: "ChatGPT",
    asset_kind: "application",
    family: "Usage",
    subtype: "Volume",
    users_affected: 1,
    count: 1,
    frameworks: [],
    status: "Unassigned",
    assignee: null,
    acknowledged_by: null,
    acknowledged_at: null,
    created_at: "2026-01-01T10:00:00Z",
    updated_at: "2026-01-01T10:00:00Z",
    ...fields,
  };
}

export const alertEvent = (seq: number, data: AlertData, stream = STREAM): EventFrame => ({
  type: "alert",
  client_id: data.client_id ?? "c1",
  stream,
  seq,
  timestamp: "2026-01-01T12:00:00Z",
  data,
});

export const useEvent = (seq: number, data: InteractionData, timestamp = "2026-01-01T12:00:00Z"): EventFrame => ({
  type: "interaction_update",
  client_id: "c1",
  stream: STREAM,
  seq,
  timestamp,
  data,
});

export const page = (results: Alert[], fields: Partial<AlertPage> = {}): AlertPage => ({
  count: results.length,
  next: null,
  results,
  positions: { [STREAM]: 10 },
  epoch: "e1",
  ...fields,
});
