import { defineConfig } from "vitest/config";

export default defineConfig({
  ssr: { resolve: { conditions: ["source", "node", "import", "module", "default"] } },
  resolve: { conditions: ["source", "node", "import", "module", "default"] },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/global-setup.ts"],
    pool: "forks",
    // As browsers have it.
    execArgv: ["--experimental-eventsource"],
    // Two workers: the suites share one Postgres server and are sized for two cores.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
