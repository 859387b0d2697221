/** The live documents of the dashboard. */

import { activity, alertPage, figures, newestAlerts, overviewData } from "../api.js";
import { applyToCentre, type Centre, centreOf, type Filter, queryOf, refreshed } from "../state/centre.js";
import { applyToDashboard, type Dashboard, dashboardOf } from "../state/dashboard.js";
import { applyToOverview, type Overview, overviewOf } from "../state/overview.js";
import type { LiveQuery } from "./feed.js";

/** What happened in the last minutes was counted from the events since; a newer snapshot of it would say the same. */
export const overviewQuery: LiveQuery<Overview> = {
  queryKey: ["live", "overview"],
  fetch: async () => {
    const alerts = await newestAlerts();
    return overviewOf(alerts, await overviewData());
  },
  apply: applyToOverview,
};

export const dashboardQuery = (clientId: string): LiveQuery<Dashboard> => ({
  queryKey: ["live", "dashboard", clientId],
  fetch: async () => {
    const alerts = await newestAlerts(clientId);
    const [answer, recent] = await Promise.all([figures(clientId), activity(clientId)]);
    return dashboardOf(alerts, answer, recent);
  },
  apply: applyToDashboard,
});

export const centreQuery = (filter: Filter): LiveQuery<Centre> => ({
  queryKey: ["live", "alerts", queryOf(filter).toString()],
  fetch: async (previous) => {
    const first = centreOf(filter, await alertPage(filter));
    return previous ? refreshed(previous, first) : first;
  },
  apply: applyToCentre,
});
