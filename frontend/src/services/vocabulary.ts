/** The protocol's words: what `realtime/protocol` calls by the same names. A test holds the two equal. */

export const PROTOCOL = "compliance.v1";
export const TOPICS = ["engagement_update", "interaction_update", "alert", "presence"] as const;
export const SEVERITIES = ["low", "medium", "high", "critical"] as const;
export const RESYNC_REASONS = ["epoch", "retention", "backlog", "ahead", "unknown", "slow"] as const;

export const CloseCode = {
  NORMAL: 1000,
  POLICY: 1008,
  TOO_BIG: 1009,
  INTERNAL: 1011,
  RESTART: 1012,
  TRY_LATER: 1013,
  TOKEN_EXPIRED: 4001,
  REVOKED: 4003,
  TOO_SLOW: 4008,
  SILENT: 4009,
} as const;

export const ERROR_CODES = [
  "invalid_json",
  "binary_unsupported",
  "too_large",
  "too_deep",
  "invalid_message",
  "unknown_type",
  "rate_limited",
  "not_found",
  "not_subscribed",
  "too_many_subscriptions",
  "authentication_required",
  "invalid_token",
  "token_expired",
  "wrong_token_type",
  "user_changed",
  "user_inactive",
  "no_tenant",
  "origin_not_allowed",
  "unknown_route",
  "invalid_parameter",
  "access_revoked",
  "too_many_errors",
  "too_slow",
  "too_many_connections",
  "silent",
  "restarting",
  "unavailable",
  "internal",
] as const;

export type Topic = (typeof TOPICS)[number];
export type Severity = (typeof SEVERITIES)[number];
export type ResyncReason = (typeof RESYNC_REASONS)[number];
/** A code this version knows, or one that a newer server added. */
export type ErrorCode = (typeof ERROR_CODES)[number] | (string & {});
