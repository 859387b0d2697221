/**
 * What `tests/browser` loads beside the portal's own pages: the library on `window`, and with `?example=` one of `src/examples/`.
 *
 * Examples that want a client get `?client=`. The session's cookie is the login.
 */

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { type ReactNode, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Toaster } from "sonner";
import { AlertNotifications } from "@/examples/AlertNotifications";
import { EngagementDashboard } from "@/examples/EngagementDashboard";
import { InteractionCounter } from "@/examples/InteractionCounter";
import { MSPDashboard } from "@/examples/MSPDashboard";
import { createClient, WebSocketClient } from "@/index";

Object.assign(window, { createClient, WebSocketClient });

const query = new URLSearchParams(location.search);
const clientId = query.get("client") ?? "";
const examples: Record<string, ReactNode> = {
  EngagementDashboard: <EngagementDashboard clientId={clientId} />,
  InteractionCounter: <InteractionCounter clientId={clientId} />,
  AlertNotifications: <AlertNotifications />,
  MSPDashboard: <MSPDashboard />,
};
const example = examples[query.get("example") ?? ""];
if (example)
  createRoot(document.getElementById("root")!).render(
    <StrictMode>
      <QueryClientProvider client={new QueryClient()}>
        {example}
        <Toaster />
      </QueryClientProvider>
    </StrictMode>,
  );
