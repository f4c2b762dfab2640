import type { Redis } from "ioredis";
import type { Check, Decision } from "../../../src/quota/decision.ts";
import type { TestTenant } from "../support/tenants.ts";

/** The same scripts with a fence that never changes: a hash from before a loss counts as if nothing had happened. */
export function withoutFence(client: Redis): Redis {
  return new Proxy(client, {
    get(target, key) {
      if (key !== "defineCommand") return Reflect.get(target, key, target);
      return (name: string, definition: { lua: string }) =>
        target.defineCommand(name, { lua: definition.lua.replace(/local fence = .*\n/, "local fence = 'none'\n") });
    },
  });
}

/**
 * What most do: a counter in Redis that is written down every half second, and begins with what was written when Redis has
 * none. Nothing was given before it is spent.
 */
export async function startPlainChecks(client: Redis, tenant: TestTenant) {
  const key = `plain:{${tenant.uid}}`;
  const limit = Number(tenant.limits[0]?.cap);
  client.defineCommand("plainConsume", {
    numberOfKeys: 1,
    lua: `local used = redis.call('GET', KEYS[1])
      if not used then return -1 end
      if tonumber(used) >= tonumber(ARGV[1]) then return 0 end
      redis.call('INCR', KEYS[1])
      return 1`,
  });
  const consume = () =>
    (client as unknown as { plainConsume(key: string, limit: number): Promise<number> }).plainConsume(key, limit);
  let written = 0;
  const load = async () => {
    await client.set(key, written, "NX");
  };
  setInterval(async () => {
    const used = await client.get(key).catch(() => null);
    if (used !== null) written = Math.max(written, Number(used));
  }, 500);
  const one = async (): Promise<Decision> => {
    let passed = await consume().catch(() => -2);
    if (passed === -1) {
      await load().catch(() => {});
      passed = await consume().catch(() => -2);
    }
    const outcome = passed === 1 ? "ALLOW" : "DENY";
    return { outcome, consistency: passed < 0 ? "FALLBACK" : "EXACT" } as Decision;
  };
  return {
    check: (checks: readonly Check[]) => Promise.all(checks.map(one)),
    reserve: async () => ({ decision: {} as Decision, reservation: undefined }),
    commit: async () => Promise.reject(new Error("has no reservations")),
    settle: async () => {},
    flush: async () => {},
  };
}
