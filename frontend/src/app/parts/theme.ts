/** The theme: a cookie, so that Django renders it and no page flickers. The portal's other pages do the same (`pages/site.ts`). */

import { prefersDark } from "@/pages/live/media.js";

const YEAR_S = 31_536_000;

export function isDark(): boolean {
  const chosen = document.documentElement.dataset["theme"];
  return chosen === "auto" ? prefersDark() : chosen === "dark";
}

export function setTheme(theme: "light" | "dark"): void {
  document.documentElement.dataset["theme"] = theme;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `theme=${theme}; Path=/; Max-Age=${YEAR_S}; SameSite=Lax${secure}`;
  document.dispatchEvent(new Event("themechange"));
}
