/** What can be done to an alert. Its event tells every page; without a connection, this one asks again. */

import { useMutation, type UseMutationResult } from "@tanstack/react-query";
import { acknowledge, change } from "../api.js";
import { useLink } from "../live/Live.js";
import { useFeed } from "../live/useLive.js";
import type { Alert } from "../state/alerts.js";
import { tellFailure } from "./toastStore.js";

export type Deed =
  | { do: "acknowledge" }
  | { do: "assign"; assignee: string | null }
  | { do: "complete" }
  | { do: "reopen" };

export interface DeedOf {
  alert: Alert;
  deed: Deed;
}

export function useDeeds(): UseMutationResult<Alert, Error, DeedOf> {
  const feed = useFeed();
  const { client } = useLink();
  return useMutation({
    mutationFn: ({ alert, deed }: DeedOf) => carryOut(alert, deed),
    onSuccess: () => {
      if (!client.isConnected) feed.refetch();
    },
    onError: (error) => tellFailure("That did not work", error),
  });
}

function carryOut({ id, assignee }: Alert, deed: Deed): Promise<Alert> {
  switch (deed.do) {
    case "acknowledge":
      return acknowledge(id);
    case "assign":
      return change(id, { assignee: deed.assignee });
    case "complete":
      return change(id, { status: "Complete" });
    case "reopen":
      return change(id, { status: assignee ? "Pending" : "Unassigned" });
  }
}
