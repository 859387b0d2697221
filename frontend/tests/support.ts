/** What most tests need: a fake server, a client on it, and time that stands still. */

import { vi } from "vitest";
import { FakeServer, type FakeServerOptions } from "@/testing/fakeServer";
import { type ConnectionState, WebSocketClient, type WebSocketClientOptions } from "@/services/websocket";

export interface Rig {
  server: FakeServer;
  client: WebSocketClient;
  /** Every state the client was in, in order. */
  states: ConnectionState[];
}

/** A client and its server, on fake time, without jitter. */
export function rig(
  options: WebSocketClientOptions = {},
  serverOptions: FakeServerOptions = {},
  clientId?: string,
): Rig {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5); // the middle: delays are what they are without jitter
  const server = new FakeServer(serverOptions);
  const client = new WebSocketClient("/ws/engagement", clientId, { ...server.clientOptions, ...options });
  const states: ConnectionState[] = [client.state];
  client.subscribe(() => {
    if (client.state !== states.at(-1)) states.push(client.state);
  });
  return { server, client, states };
}

/** The same, connected. */
export async function connected(...args: Parameters<typeof rig>): Promise<Rig> {
  const parts = rig(...args);
  await parts.client.connect();
  return parts;
}

/** Let time pass, and everything that it brings happen. */
export const pass = async (ms: number): Promise<void> => void (await vi.advanceTimersByTimeAsync(ms));

export const alertOf = (details: string): { severity: "high"; details: string } => ({ severity: "high", details });
