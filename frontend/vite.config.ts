/**
 * The pages' and the SPA's scripts: every `src/pages/*.ts` and `src/app/main.tsx` becomes a file of its name in
 * `realtime/static/realtime/`. No hashes in names, no inline code, no run-time styles: the built files are committed, and pages run
 * under `script-src 'self'; style-src 'self'`.
 */

import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Entry name → file. Empty as long as there are no pages. With `--mode harness`: what browser tests load beside the pages. */
function entries(mode: string): Record<string, string> {
  if (mode === "harness") return { harness: here("tests/browser/harness.tsx") };
  const pages = existsSync(here("src/pages")) ? readdirSync(here("src/pages")).sort() : [];
  const names = pages
    .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
    .map((file) => file.slice(0, -3));
  const app: Record<string, string> = existsSync(here("src/app/main.tsx")) ? { app: here("src/app/main.tsx") } : {};
  return { ...Object.fromEntries(names.map((name) => [name, here(`src/pages/${name}.ts`)])), ...app };
}

/** sonner writes its style sheet into the page, which the CSP forbids: take the call out and import the file instead. */
function sonnerStyles(): Plugin {
  const call = /^__insertCSS\("(?:[^"\\]|\\.)*"\);?$/m;
  return {
    name: "sonner-styles",
    enforce: "pre",
    transform(code, id) {
      if (!/\/sonner\/dist\/index\.m?js/.test(id)) return undefined;
      if (!call.test(code)) this.error("sonner inserts its styles in another way now: see vite.config.ts.");
      return { code: `import "sonner/dist/styles.css";\n${code.replace(call, "")}`, map: null };
    },
  };
}

export default defineConfig(({ mode }) => ({
  base: "./",
  plugins: [sonnerStyles(), react()],
  resolve: { alias: { "@": here("src") } },
  build: {
    outDir: here("../realtime/static/realtime"),
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: entries(mode),
      output: {
        entryFileNames: "[name].js",
        chunkFileNames: "chunks/[name].js",
        assetFileNames: "[name][extname]",
      },
    },
  },
}));
