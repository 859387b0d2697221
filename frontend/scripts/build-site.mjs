/** Build the pages and the SPA; arguments go to `vite build`. Without any entry there is nothing to do. */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { resolveConfig } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));
const { build } = await resolveConfig({ root, logLevel: "warn" }, "build", "production", "production");
if (Object.keys(build.rolldownOptions.input ?? {}).length === 0) {
    console.log("No pages and no app yet: nothing built for realtime/static/realtime/.");
} else {
    const vite = fileURLToPath(new URL("../node_modules/vite/bin/vite.js", import.meta.url));
    const { status } = spawnSync(process.execPath, [vite, "build", ...process.argv.slice(2)], {
        cwd: root,
        stdio: "inherit",
    });
    process.exit(status ?? 1);
}
