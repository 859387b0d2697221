/** The client's core, bundled and minified as an application would, and the SPA as it was built must stay within their budgets. */

import { readFileSync } from "node:fs";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const BUDGETS = [
    { what: "client core", entry: "src/services/websocket.ts", kilobytes: 9.5 },
    { what: "client core and tab sharing", entry: "src/services/sharing.ts", kilobytes: 10.75 },
];

const root = fileURLToPath(new URL("..", import.meta.url));
let isOver = false;
for (const { what, entry, kilobytes } of BUDGETS) {
    const result = await build({
        root,
        configFile: false,
        logLevel: "error",
        build: {
            write: false,
            target: "es2022",
            minify: true,
            lib: { entry: `${root}/${entry}`, formats: ["es"] },
            rolldownOptions: { output: { minify: true } },
        },
    });
    const { output } = Array.isArray(result) ? result[0] : result;
    const code = output.map((chunk) => (chunk.type === "chunk" ? chunk.code : "")).join("");
    const bytes = gzipSync(code, { level: 9 }).length;
    const isTooMuch = bytes > kilobytes * 1024;
    isOver ||= isTooMuch;
    console.log(
        `${what}: ${(bytes / 1024).toFixed(2)} KB gzipped of ${kilobytes} (${code.length} bytes minified)${isTooMuch ? " — too much" : ""}`,
    );
}

/** What a browser loads before the SPA shows anything: its script with all that this imports, and every style sheet of its document. */
const SPA_KILOBYTES = 150;
const gzipped = (path) => gzipSync(readFileSync(`${root}/${path}`), { level: 9 }).length;
const built = "../realtime/static/realtime";
const withImports = (path, seen = new Set()) => {
    if (seen.has(path)) return seen;
    seen.add(path);
    const code = readFileSync(`${root}/${path}`, "utf8");
    for (const [, imported] of code.matchAll(/(?:from|import)\s*["'](\.[^"']+\.js)["']/g)) withImports(posix.join(posix.dirname(path), imported), seen);
    return seen;
};
const styles = ["../engagement/static/engagement/tokens.css", "../engagement/static/engagement/portal.css", `${built}/app.css`];
const spa = [...withImports(`${built}/app.js`), ...styles].reduce((sum, path) => sum + gzipped(path), 0);
isOver ||= spa > SPA_KILOBYTES * 1024;
console.log(`SPA, first load: ${(spa / 1024).toFixed(1)} KB gzipped of ${SPA_KILOBYTES}${spa > SPA_KILOBYTES * 1024 ? " — too much" : ""}`);
process.exit(isOver ? 1 : 0);
