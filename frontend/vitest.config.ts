import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { alias: { "@": fileURLToPath(new URL("src", import.meta.url)) } },
  test: {
    environment: "jsdom",
    include: ["tests/**/*.test.{ts,tsx}", "src/{pages,app}/**/*.test.{ts,tsx}"],
    setupFiles: ["tests/setup.ts"],
    isolate: false, // a jsdom for each file took ten times as long as the tests; what a test leaves, setup.ts takes away
    restoreMocks: true,
    unstubGlobals: true,
  },
});
