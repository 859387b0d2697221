/** The client's core, bundled and minified as an application would, must stay within its budget. */

import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const BUDGETS = [
    { what: "client core", entry: "src/services/websocket.ts", kilobytes: 8 },
    { what: "client core and tab sharing", entry: "src/services/sharing.ts", kilobytes: 10 },
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
process.exit(isOver ? 1 : 0);
