/** The admin site's alert pages, live: the list, or one alert's form. */

// oxlint-disable-next-line import/no-unassigned-import -- a style sheet
import "../app/admin/live.css";
import { liveForm } from "../app/admin/form.js";
import { liveList } from "../app/admin/list.js";
import { Bar } from "../app/admin/bar.js";

const bar = new Bar();
if (bar.page === "list") liveList(bar);
else liveForm(bar, bar.alertId);
