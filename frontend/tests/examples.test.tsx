/** The examples of frontend/README.md: they compile, and work against the protocol. */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, render, screen } from "@testing-library/react";
import { type ReactNode, StrictMode } from "react";
import { Toaster } from "sonner";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { AlertNotifications } from "@/examples/AlertNotifications";
import { EngagementDashboard } from "@/examples/EngagementDashboard";
import { InteractionCounter } from "@/examples/InteractionCounter";
import { MSPDashboard } from "@/examples/MSPDashboard";
import { RealtimeProvider } from "@/hooks";
import { FakeServer } from "@/testing/fakeServer";
import { pass } from "./support";

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  vi.stubGlobal("matchMedia", () => ({
    matches: false,
    addEventListener: () => undefined,
    removeEventListener: () => undefined,
  }));
  server = new FakeServer();
});

const show = (example: ReactNode): void =>
  void render(
    <StrictMode>
      <QueryClientProvider client={new QueryClient()}>
        <RealtimeProvider options={server.clientOptions}>{example}</RealtimeProvider>
      </QueryClientProvider>
    </StrictMode>,
  );
const wait = (ms = 0): Promise<void> => act(() => pass(ms));
const page = (): string => document.body.textContent ?? "";

describe("the examples", () => {
  it("1: a dashboard shows the state and the latest figures", async () => {
    server.refusal = { closeCode: 1013, code: "unavailable", message: "Try again soon." };
    show(<EngagementDashboard clientId="c-1" />);
    await wait();
    expect(page()).toContain("Status:  Disconnected");
    expect(page()).toContain("Error: Try again soon.");
    server.refusal = null;
    await wait(3000);
    expect(page()).toContain("Status:  Connected");
    server.engagement("c-1", { departments: [{ department: "Legal", interactions: 412 }] });
    await wait();
    expect(page()).toContain('"interactions": 412');
  });

  it("2: a counter counts each interaction once, through a lost connection", async () => {
    show(<InteractionCounter clientId="c-1" />);
    await wait();
    server.interaction("c-1", { interaction_count: 5 });
    await wait();
    expect(page()).toBe("Total Interactions: 5");
    act(() => server.goDown());
    server.interaction("c-1", { interaction_count: 7 });
    await wait();
    server.isDown = false;
    await wait(3000);
    server.emitAll(
      [1, 2].map((interaction_count) => ({ type: "interaction_update", clientId: "c-1", data: { interaction_count } })),
    );
    await wait();
    expect(page()).toBe("Total Interactions: 15");
  });

  it("3: an alert becomes a toast", async () => {
    show(
      <>
        <AlertNotifications />
        <Toaster />
      </>,
    );
    await wait();
    expect(page()).toContain("WebSocket Status:  Active");
    server.alert("c-1", { severity: "high", details: "Customer data in a prompt" });
    await wait(100);
    expect(screen.getByText("New Alert")).toBeDefined();
    expect(screen.getByText("Customer data in a prompt").closest("[data-type=error]")).not.toBeNull();
    server.alert("c-1", { severity: "low" });
    await wait(100);
    expect(screen.getByText("A new alert has been triggered").closest("[data-type=error]")).toBeNull();
  });

  it("4: an MSP's dashboard subscribes to its clients, again after a reconnect", async () => {
    show(<MSPDashboard />);
    await wait();
    expect(page()).toBe("Monitoring 3 clients");
    const subscribed = (): unknown[] => server.connection.receivedOf("subscribe").map((frame) => frame.client_id);
    expect(new Set(subscribed())).toEqual(new Set(["client-1", "client-2", "client-3"]));
    act(() => server.connection.break());
    await wait(3000);
    expect(server.connections).toHaveLength(2);
    expect(new Set(subscribed())).toEqual(new Set(["client-1", "client-2", "client-3"]));
  });

  const readme = readFileSync(resolve(import.meta.dirname, "../README.md"), "utf-8");
  it.each([
    "websocket-client.ts",
    "EngagementDashboard.tsx",
    "InteractionCounter.tsx",
    "AlertNotifications.tsx",
    "MSPDashboard.tsx",
  ])("%s is what the README shows", (file) => {
    const source = readFileSync(resolve(import.meta.dirname, "../src/examples", file), "utf-8");
    const body = source.slice(source.search(/^(import \{ WebSocketClient|function)/m)).replace(/\nexport \{.*\n$/, "");
    expect(readme).toContain(body.trim());
  });
});
