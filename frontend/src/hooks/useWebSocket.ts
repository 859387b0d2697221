/** React hooks on the WebSocket client. All logic is in the client and in the stores beside this file. */

import { QueryClientContext } from "@tanstack/react-query";
import {
  useCallback,
  useContext,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import type { ClientEvents, ClientEventType, RealtimeClient, SendableFrame, Snapshot } from "../services/client.js";
import type { ConnectionError } from "../services/closing.js";
import type { Unsubscribe } from "../services/emitter.js";
import type { AlertData, EngagementData, InteractionData } from "../services/payloads.js";
import { ConnectionState, isConnectedState } from "../services/states.js";
import type { Hold, Narrow } from "../services/hold.js";
import type { Refused } from "../services/subscriber.js";
import { invalidateOn } from "./invalidation.js";
import { keepHold } from "./holding.js";
import { createLatest } from "./latest.js";
import type { Address } from "./pool.js";
import { createPresence, type Presence } from "./presence.js";
import { useRealtime } from "./RealtimeProvider.js";

export interface ConnectionAddress {
  /** Follow this client only; without it, all that the user may see. */
  clientId?: string | null | undefined;
  /** The route; default `/ws/engagement`. */
  path?: string | undefined;
  /** `selected`: follow only the clients that are subscribed to (MSP users). */
  scope?: "selected" | undefined;
}

export interface UseWebSocketOptions extends ConnectionAddress {
  /** Connect when mounted; default true. */
  autoConnect?: boolean;
  onConnect?: () => void;
  onDisconnect?: () => void;
  /** Why the connection failed or was lost. */
  onError?: (error: ConnectionError) => void;
}

export interface UseWebSocketResult {
  isConnected: boolean;
  connectionState: ConnectionState;
  /** Why there is no connection, for people; null while there is one. */
  connectionError: string | null;
  /** Call `handler` for each message of `type`, over all reconnects. Returns its end. */
  subscribe<T extends ClientEventType>(type: T, handler: (message: ClientEvents[T]) => void): Unsubscribe;
  /** Send a frame; says whether it went out. */
  send(frame: SendableFrame): boolean;
  connect(): void;
  /** Give up this component's hold on the connection; it closes when nobody else holds it. */
  disconnect(): void;
  /** Clients that were subscribed to and are not followed, and why. */
  refused: Refused;
  client: RealtimeClient;
}

export interface UseEngagementWebSocketResult extends UseWebSocketResult {
  latestEngagementData: EngagementData | null;
  latestInteractionData: InteractionData | null;
  latestAlert: AlertData | null;
  /** Follow one more client, perhaps only some topics of it, or alerts from a severity on. */
  subscribeToClient(clientId: string, narrow?: Narrow): void;
  unsubscribeFromClient(clientId: string): void;
}

export type EngagementOptions = Omit<UseWebSocketOptions, "clientId">;

/** A connection, kept as long as the component is mounted. Components with the same address share one. */
export function useWebSocket(options: UseWebSocketOptions = {}): UseWebSocketResult {
  const { autoConnect = true } = options;
  const { pool } = useRealtime();
  const address = useAddress(options);
  const client = pool.get(address);
  const [isWanted, setIsWanted] = useState(autoConnect);
  const connectionState = useSyncExternalStore(client.subscribe, () => client.state, serverState);
  const error = useSyncExternalStore(
    client.subscribe,
    () => client.getSnapshot().error,
    () => null,
  );
  const refused = useSyncExternalStore(
    client.subscribe,
    () => client.getSnapshot().refused,
    () => NONE,
  );
  const isConnected = isWanted && isConnectedState(connectionState);

  useEffect(() => (isWanted ? pool.lease(address) : undefined), [pool, address, isWanted]);
  useCallbacks(options, isConnected, error);

  return {
    isConnected,
    connectionState,
    connectionError: isConnected ? null : (error?.message ?? null),
    refused,
    client,
    subscribe: useCallback((type, handler) => client.on(type, handler), [client]),
    send: useCallback((frame) => client.send(frame), [client]),
    connect: useCallback(() => setIsWanted(true), []),
    disconnect: useCallback(() => setIsWanted(false), []),
  };
}

/** One client's events (or, without an id, all that the user may see), and its queries kept fresh. */
export function useClientEngagementWebSocket(
  clientId?: string | null,
  options: EngagementOptions = {},
): UseEngagementWebSocketResult {
  const socket = useWebSocket({ ...options, clientId });
  const { client } = socket;
  const hold = useHold(client);
  const queries = useContext(QueryClientContext);
  const { keys } = useRealtime();
  const store = useMemo(() => createLatest(client, hold), [client, hold]);
  const latest = useSyncExternalStore(store.subscribe, store.getSnapshot, store.getSnapshot);

  useEffect(() => (queries ? invalidateOn(client, queries, keys) : undefined), [client, queries, keys]);

  return {
    ...socket,
    latestEngagementData: latest.engagement,
    latestInteractionData: latest.interaction,
    latestAlert: latest.alert,
    subscribeToClient: useCallback((id, narrow) => hold.subscribe(id, narrow), [hold]),
    unsubscribeFromClient: useCallback((id) => hold.unsubscribe(id), [hold]),
  };
}

/** The events of all of an MSP's clients; with `scope: "selected"`, of those subscribed to. */
export function useMSPEngagementWebSocket(options: EngagementOptions = {}): UseEngagementWebSocketResult {
  return useClientEngagementWebSocket(null, options);
}

/** How a connection stands: state, latency, positions, last message, next attempt. Only looks, never connects. */
export function useConnectionState(where: ConnectionAddress = {}): Snapshot {
  const client = useRealtime().pool.get(useAddress(where));
  return useSyncExternalStore(client.subscribe, client.getSnapshot, client.getSnapshot);
}

/** Who watches `clientId` now; heard over the connection `where`, by default the client's own. Only looks, never connects. */
export function usePresence(clientId: string, where: ConnectionAddress = { clientId }): Presence {
  const client = useRealtime().pool.get(useAddress(where));
  const store = useMemo(() => createPresence(client, clientId), [client, clientId]);
  return useSyncExternalStore(store.subscribe, store.getSnapshot, store.getSnapshot);
}

/** This component's own subscriptions, for as long as it is mounted. */
function useHold(client: RealtimeClient): Hold {
  const hold = useMemo(() => client.hold(), [client]);
  useEffect(() => keepHold(hold), [hold]);
  return hold;
}

const NONE: Refused = {};
const serverState = (): ConnectionState => ConnectionState.Idle;

function useAddress({ path = "/ws/engagement", clientId, scope }: ConnectionAddress): Address {
  return useMemo(() => ({ path, clientId, scope }), [path, clientId, scope]);
}

/** Call the newest callbacks when things change. `onConnect` and `onDisconnect` come in pairs, unmounting included. */
function useCallbacks(options: UseWebSocketOptions, isConnected: boolean, error: ConnectionError | null): void {
  const newest = useRef(options);
  useLayoutEffect(() => {
    newest.current = options;
  });
  useEffect(() => {
    if (!isConnected) return undefined;
    newest.current.onConnect?.();
    return () => newest.current.onDisconnect?.();
  }, [isConnected]);
  useEffect(() => {
    if (error) newest.current.onError?.(error);
  }, [error]);
}
