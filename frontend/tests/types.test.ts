/** What the types promise. `npm run check` compiles this; running it proves nothing more. */

import { expectTypeOf, it } from "vitest";
import { type UseEngagementWebSocketResult, useWebSocket } from "@/hooks";
import type { AlertData, EngagementData, EventFrame, FrameOf, InteractionData, Severity, Topic } from "@/index";
import { type RealtimeClient, WebSocketClient } from "@/index";

it("handlers get the frame of their type", () => {
  const client = new WebSocketClient("/ws/engagement", null, { baseUrl: "http://portal.test" });
  expectTypeOf(client).toExtend<RealtimeClient>();
  client.on("alert", (message) => expectTypeOf(message.data).toEqualTypeOf<AlertData>());
  client.on("engagement_update", (message) => expectTypeOf(message.data).toEqualTypeOf<EngagementData>());
  client.on("interaction_update", (message) => expectTypeOf(message.data).toEqualTypeOf<InteractionData>());
  client.on("connection", (message) => expectTypeOf(message.scope).toEqualTypeOf<"msp" | "client">());
  client.on("batch", (message) => expectTypeOf(message.messages).toEqualTypeOf<EventFrame[]>());
  client.on("problem", (problem) => expectTypeOf(problem).toExtend<Error>());
  // @ts-expect-error there is no such frame
  client.on("alerts", () => undefined);
});

it("only frames of the protocol can be sent", () => {
  const client = new WebSocketClient("/ws/engagement", null, { baseUrl: "http://portal.test" });
  expectTypeOf(client.send).returns.toEqualTypeOf<boolean>();
  client.send({ type: "subscribe", client_id: "c", topics: ["alert"], min_severity: "high" });
  // @ts-expect-error no such topic
  client.send({ type: "subscribe", topics: ["alerts"] });
  // @ts-expect-error no such severity
  client.send({ type: "subscribe", min_severity: "urgent" });
  // @ts-expect-error an alert must be named
  client.send({ type: "acknowledge" });
  // @ts-expect-error the client resumes by itself
  client.send({ type: "resume", positions: {} });
  const acknowledge = () => client.request({ type: "acknowledge", alert_id: "a" });
  expectTypeOf(acknowledge).returns.resolves.toEqualTypeOf<FrameOf<"acknowledged">>();
  const update = () => client.request({ type: "request_update" });
  expectTypeOf(update).returns.resolves.toEqualTypeOf<FrameOf<"engagement_update">>();
  // @ts-expect-error nothing answers it
  const resume = () => client.request({ type: "resume", positions: {} });
  expectTypeOf(resume).toBeFunction();
});

it("fields that need not be there may be missing", () => {
  expectTypeOf<FrameOf<"alert">["seq"]>().toEqualTypeOf<number>();
  expectTypeOf<FrameOf<"engagement_update">["seq"]>().toEqualTypeOf<number | null | undefined>();
  expectTypeOf<FrameOf<"subscribed">["topics"]>().toEqualTypeOf<Topic[]>();
  expectTypeOf<FrameOf<"connection">["msp_id"]>().toEqualTypeOf<string | undefined>();
  expectTypeOf<AlertData["severity"]>().toEqualTypeOf<Severity | undefined>();
});

it("hooks have the documented results", () => {
  expectTypeOf(useWebSocket).parameter(0).toExtend<{ clientId?: string | null; autoConnect?: boolean } | undefined>();
  expectTypeOf<UseEngagementWebSocketResult["latestAlert"]>().toEqualTypeOf<AlertData | null>();
  expectTypeOf<UseEngagementWebSocketResult["latestEngagementData"]>().toEqualTypeOf<EngagementData | null>();
  expectTypeOf<UseEngagementWebSocketResult["latestInteractionData"]>().toEqualTypeOf<InteractionData | null>();
  expectTypeOf<UseEngagementWebSocketResult["connectionError"]>().toEqualTypeOf<string | null>();
  expectTypeOf<UseEngagementWebSocketResult["isConnected"]>().toEqualTypeOf<boolean>();
});
