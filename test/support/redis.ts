import { inject } from "vitest";

/** The run's Redis; nothing when the machine has none, and the suites that need it are skipped. */
export function testRedisUrl(): string | undefined {
  return inject("redisUrl") || undefined;
}
