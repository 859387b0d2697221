/**
 * The frames of the wire protocol `compliance.v1` (docs/protocol.md), as checks and as the types they prove.
 *
 * Python's side is `realtime/protocol/{inbound,outbound}.py`. The golden frames in `tests/golden/` are read by both sides' tests,
 * and hold every field of every frame, so neither side can change alone.
 */

import {
  boolean,
  type Described,
  either,
  integer,
  isObject,
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  record,
  type Shape,
  string,
  trusting,
} from "./check.js";
import type { AlertData, EngagementData, InteractionData } from "./payloads.js";
import { type ErrorCode, type ResyncReason, SEVERITIES, type Topic, TOPICS } from "./vocabulary.js";

const ref = optional(nullable(either(string, number)));
/** A string that is left out where it does not apply; older servers wrote null. */
const absent = trusting<string | undefined>(optional(nullable(string)));
const positions = record(integer);
const rows = optional(list(isObject));
const watchers = optional(list(object({ user: string, role: string })));
const event = { client_id: string, stream: string, seq: integer, timestamp: string, ref };
/** How many events an update stands for, where the connection has a `rate`; absent for one. */
const folded = optional(integer);

const eventShapes = {
  /** Changed (or, with `snapshot`, all) engagement figures of one client. */
  engagement_update: {
    ...event,
    stream: optional(nullable(string)),
    seq: optional(nullable(integer)),
    data: trusting<EngagementData>(object({ departments: rows, applications: rows, agents: rows })),
    folded,
    snapshot: optional(boolean),
    positions: optional(nullable(positions)),
  },
  /** Uses of one application or agent. */
  interaction_update: { ...event, folded, data: trusting<InteractionData>(object({ interaction_count: number })) },
  /** An alert raised, changed or deleted. */
  alert: {
    ...event,
    data: trusting<AlertData>(
      object({ severity: optional(oneOf(...SEVERITIES)), details: optional(nullable(string)) }),
    ),
  },
} satisfies Record<string, Shape>;

/** What the server sends, by type. */
export const serverShapes = {
  ...eventShapes,
  /** The first frame of an accepted connection. */
  connection: {
    status: string,
    message: string,
    scope: oneOf("msp", "client"),
    user_role: string,
    msp_id: absent,
    client_id: absent,
    connection_id: string,
    positions,
    epoch: string,
    token_expires_at: nullable(string),
    heartbeat_seconds: number,
    protocol: string,
    timestamp: string,
    ref,
  },
  /** Several event frames at once, in order. Each is checked on its own, so one bad frame does not cost the others. */
  batch: { messages: trusting<EventFrame[]>(list(isObject)), ref },
  /** The answer to `ping`. Everything up to `positions` was sent on this connection before it. */
  pong: { timestamp: optional(nullable(either(string, number))), server_time: string, positions, ref },
  /** A subscription as it now stands. `stream` and `seq`: from where on its events come. */
  subscribed: {
    client_id: optional(nullable(string)),
    topics: trusting<Topic[]>(list(string)),
    min_severity: optional(nullable(oneOf(...SEVERITIES))),
    stream: string,
    seq: integer,
    ref,
  },
  /** A subscription ended, or lost some topics: what is left of it. */
  unsubscribed: { client_id: optional(nullable(string)), topics: trusting<Topic[]>(list(string)), ref },
  /** All events after `from`, up to `to`, follow: `count` of them, less those the topics leave out. */
  resumed: { stream: string, from: integer, to: integer, count: integer, ref },
  /** Events cannot be resumed: refetch over REST, then go on from `seq`. */
  resync: { stream: string, reason: trusting<ResyncReason | (string & {})>(string), seq: integer, epoch: string, ref },
  /** The new token holds; with `expiring`, a new one is asked for. */
  authenticated: { token_expires_at: nullable(string), expiring: optional(boolean), ref },
  /** Who watches a client now, or (`client_id` null) all of the MSP's. Names only where the viewer may see them. */
  presence: {
    client_id: nullable(string),
    msp_watchers: integer,
    client_watchers: integer,
    watchers,
    joined: watchers,
    left: watchers,
    timestamp: string,
    ref,
  },
  /** The alert is marked as seen. */
  acknowledged: { alert_id: string, acknowledged_by: string, acknowledged_at: string, ref },
  /** This connection will be closed on purpose: come back after `after_ms`. */
  reconnect: { after_ms: number, reason: string, ref },
  /**
   * What was wrong, for machines (`code`) and people (`message`); `client_id`: the client it is about;
   * `retry_after_ms`: when the same frame can be sent again (`rate_limited`).
   */
  error: {
    code: trusting<ErrorCode>(string),
    message: string,
    client_id: optional(nullable(string)),
    retry_after_ms: optional(nullable(integer)),
    ref,
  },
} satisfies Record<string, Shape>;

const topics = optional(nullable(list(oneOf(...TOPICS))));

/** What a client sends, by type. `ref` comes back in the answer. */
export const clientShapes = {
  ping: { timestamp: optional(nullable(either(string, number))), positions: optional(nullable(positions)), ref },
  /** Follow a client, or the list `client_ids`, or (with neither) narrow what the connection follows already. */
  subscribe: {
    client_id: optional(nullable(string)),
    client_ids: optional(nullable(list(string))),
    topics,
    min_severity: optional(nullable(oneOf(...SEVERITIES))),
    ref,
  },
  /** Stop following a client, or the list `client_ids`, or (with `topics`) only these topics of it. */
  unsubscribe: {
    client_id: optional(nullable(string)),
    client_ids: optional(nullable(list(string))),
    topics,
    ref,
  },
  resume: { positions: either(positions, oneOf("last")), epoch: optional(nullable(string)), ref },
  authenticate: { token: string, ref },
  /** Ask for a full `engagement_update` snapshot. */
  request_update: { client_id: optional(nullable(string)), ref },
  /** Say that this user has seen an alert. */
  acknowledge: { alert_id: string, ref },
} satisfies Record<string, Shape>;

type Frames<S> = { [T in keyof S]: { type: T } & Described<S[T]> };
type Flat<T> = { [K in keyof T]: T[K] };

export type EventType = keyof typeof eventShapes;
export type ServerFrameType = keyof typeof serverShapes;
export type ClientFrameType = keyof typeof clientShapes;

/** The frame of type `T`, as the server sends it. */
export type FrameOf<T extends ServerFrameType> = Flat<Frames<typeof serverShapes>[T]>;
export type ServerFrame = { [T in ServerFrameType]: FrameOf<T> }[ServerFrameType];
/** A frame that tells of something that happened to a client, with its place in a stream. */
export type EventFrame = { [T in EventType]: Flat<Frames<typeof eventShapes>[T]> }[EventType];

/** The frame of type `T`, as a client sends it. */
export type ClientFrameOf<T extends ClientFrameType> = Flat<Frames<typeof clientShapes>[T]>;
export type ClientFrame = { [T in ClientFrameType]: ClientFrameOf<T> }[ClientFrameType];

/** Which frame answers which request. */
export interface Answers {
  ping: "pong";
  subscribe: "subscribed";
  unsubscribe: "unsubscribed";
  authenticate: "authenticated";
  request_update: "engagement_update";
  acknowledge: "acknowledged";
}
export type { AlertData, EngagementData, InteractionData };
