import { defineConfig } from "vitest/config";
import base from "./vitest.config.ts";

/** The tests that need no service: `npm run check` runs them in seconds. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: [
      "test/aip/*.test.ts",
      "test/architecture.test.ts",
      "test/golden.test.ts",
      "test/auth/permission.test.ts",
      "test/change/hub.test.ts",
      "test/cli/pure/*.test.ts",
      "test/compat/{envoy-status,flagd-document,selector}.test.ts",
      "test/config.test.ts",
      "test/descriptor.test.ts",
      "test/errors.test.ts",
      "test/evaluate/*.test.ts",
      "test/platform/batcher.test.ts",
      "test/quota/{absence,allotment,check-parse,check-stream,check-wire,grant,period,rate-limit-fields,refusal,resolve,settle,table}.test.ts",
      "test/quota/hot/{gcra,memory,sliding-window}.test.ts",
      "test/sdk/quota/*.test.ts",
      "test/server/request-text.test.ts",
      "test/flag/pure.test.ts",
      "test/flag/transfer.test.ts",
      "test/sdk/replica.test.ts",
      "test/tenant/lifecycle.test.ts",
      "test/usage/measure.test.ts",
      "test/webhook/schedule.test.ts",
    ],
    globalSetup: [],
  },
});
