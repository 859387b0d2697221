/** What every page has: the theme's switch, and a menu that closes. */

import { prefersDark } from "./live/media.js";

export const YEAR_S = 31_536_000;

function isDark(): boolean {
  const chosen = document.documentElement.dataset["theme"];
  return chosen === "auto" ? prefersDark() : chosen === "dark";
}

/** The choice is a cookie, so that Django renders it and no page flickers. */
function setTheme(theme: "light" | "dark"): void {
  document.documentElement.dataset["theme"] = theme;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `theme=${theme}; Path=/; Max-Age=${YEAR_S}; SameSite=Lax${secure}`;
  document.dispatchEvent(new Event("themechange"));
}

const toggle = document.getElementById("theme-toggle");
if (toggle) {
  toggle.hidden = false;
  toggle.addEventListener("click", () => setTheme(isDark() ? "light" : "dark"));
}

const menu = document.getElementById("account") as HTMLDetailsElement | null;
if (menu) {
  document.addEventListener("click", (click) => {
    if (!menu.contains(click.target as Node)) menu.open = false;
  });
  menu.addEventListener("keydown", (press) => {
    if (press.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary")?.focus();
  });
}
