/**
 * What event frames carry in `data`.
 *
 * Most are optional: a saved row's event has them all, but backend code can broadcast a few of them alone.
 */

import type { Severity } from "./vocabulary.js";

export type { Severity };

export interface DepartmentFigures {
  department_id: string;
  department: string;
  interactions: number;
  active_users: number;
  pct_change_vs_prev_7d: number | null;
}

export interface ApplicationFigures {
  app_id: string;
  application: string;
  vendor: string;
  icon: string;
  status: "Permitted" | "Unsanctioned";
  active_users: number;
  interactions_per_day: number;
  trend_pct_7d: number | null;
  utilization: "High" | "Medium" | "Low";
  recommendation: string;
}

export interface AgentFigures {
  agent_id: string;
  agent: string;
  vendor: string;
  icon: string;
  deployed: boolean;
  avg_prompts_per_day: number;
  flagged_actions: number;
  trend_pct_7d: number | null;
  status: "Rising" | "Stable" | "Dormant";
  last_activity_iso: string | null;
  associated_apps: string[];
}

/** Only the rows that changed, unless the frame is a snapshot. Rows of broadcasts may have fewer fields. */
export interface EngagementData {
  departments?: Partial<DepartmentFigures>[];
  applications?: Partial<ApplicationFigures>[];
  agents?: Partial<AgentFigures>[];
}

/** Uses since the last update; `app_id` or `agent_id` says of what. */
export interface InteractionData {
  interaction_count: number;
  total_daily_interactions?: number;
  flagged_count?: number;
  app_id?: string;
  app?: string | null;
  agent_id?: string;
  agent?: string | null;
}

export interface AlertData {
  severity?: Severity;
  details?: string | null;
  app?: string | null;
  /** Absent on an alert that was broadcast and never saved. */
  id?: string;
  client_id?: string;
  app_id?: string | null;
  agent_id?: string | null;
  updated_at?: string;
  change?: "created" | "updated" | "deleted";
  asset_kind?: string;
  family?: string;
  subtype?: string;
  users_affected?: number;
  count?: number;
  frameworks?: string[];
  status?: "Unassigned" | "Pending" | "Complete" | "AI Resolved";
  assignee?: string | null;
  acknowledged_by?: string | null;
  acknowledged_at?: string | null;
  created_at?: string;
}
