import { Limit_FailPolicy } from "@tenantplane/sdk/gen/tenantplane/v1/limit_pb";
import {
  QuotaDecision_Consistency as Consistency,
  QuotaDecision_Outcome as Outcome,
} from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import { QuotaService } from "@tenantplane/sdk/gen/tenantplane/v1/quota_pb";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { createMeteredTenant, createMeters, PATIENT } from "../support/quota.ts";
import { type RedisProcess, startRedisProcess } from "../support/redis-process.ts";
import { until } from "../support/until.ts";

const skipped = inject("redisUrl") === "";
if (skipped) console.warn("No Redis: the stories of quotas on several nodes are skipped.");

const period = { rule: { case: "period" as const, value: { duration: "P1M" } } };
const LIMITS = [
  { meter: "messages", amount: 100n, ...period },
  { meter: "storage.bytes", amount: 100n, failPolicy: Limit_FailPolicy.OPEN },
];

describe.skipIf(skipped)("quotas on two nodes", () => {
  let database: Awaited<ReturnType<typeof createDatabase>>;
  let redis: RedisProcess;
  let first: TestApp;
  let second: TestApp;

  beforeAll(async () => {
    database = await createDatabase();
    redis = (await startRedisProcess()) as RedisProcess;
    const settings = { ...PATIENT, REDIS_URL: redis.url };
    first = await startTestApp(database, { settings });
    second = await startTestApp(database, { settings, adminKey: first.adminKey });
    await createMeters(first.admin, LIMITS);
  });
  afterAll(async () => {
    await first.stop();
    await second.stop();
    redis.process.kill("SIGKILL");
    await database.drop();
  });

  const ask = async (node: TestApp, tenant: string, meter: string, amount: bigint) =>
    (await node.admin.of(QuotaService).checkQuota({ tenant, entries: [{ meter, amount }] })).decision;

  it("share what is left, exactly, however many ask at once", async () => {
    const tenant = await createMeteredTenant(first, "shared-out");
    await createMeteredTenant(second, "shared-out-too");
    const asks = Array.from({ length: 160 }, (_, n) => ask(n % 2 === 0 ? first : second, tenant, "messages", 1n));
    const outcomes = (await Promise.all(asks)).map((decision) => decision?.outcome);
    expect(outcomes.filter((outcome) => outcome === Outcome.ALLOW)).toHaveLength(100);
    expect(outcomes.filter((outcome) => outcome === Outcome.DENY)).toHaveLength(60);
  });

  it("apply an override made on the other node within a second", async () => {
    const tenant = await createMeteredTenant(first, "overridden");
    await until(async () => (await ask(second, tenant, "messages", 100n))?.outcome === Outcome.ALLOW);
    expect((await ask(second, tenant, "messages", 1n))?.outcome).toBe(Outcome.DENY);
    await first.admin.of(QuotaService).createQuotaOverride({
      parent: tenant,
      quotaOverride: {
        limitId: "messages",
        limit: { meter: "messages", amount: 200n, ...period },
        reason: "a good customer",
      },
    });
    const madeAt = performance.now();
    await until(async () => (await ask(second, tenant, "messages", 1n))?.outcome === Outcome.ALLOW);
    expect(performance.now() - madeAt).toBeLessThan(1_000);
  });

  it("answer by each limit's policy while Redis does not answer or is gone, and exactly again when it is back", async () => {
    const tenant = await createMeteredTenant(first, "without-redis");
    await ask(first, tenant, "storage.bytes", 10n);
    const hasty = await startTestApp(database, {
      settings: { ...PATIENT, REDIS_URL: redis.url, QUOTA_BUDGET_MS: String(BUDGET_MS) },
      adminKey: first.adminKey,
    });
    const timed = async (meter: string, amount: bigint) => {
      const startedAt = performance.now();
      const decision = await ask(hasty, tenant, meter, amount);
      return { decision, inTime: performance.now() - startedAt < BUDGET_MS + TURN_MS };
    };
    const closed = { outcome: Outcome.DENY, reason: "DECISION_UNAVAILABLE", consistency: Consistency.FALLBACK };
    const open = {
      outcome: Outcome.ALLOW,
      consistency: Consistency.FALLBACK,
      limits: [{ failPolicy: Limit_FailPolicy.OPEN }],
    };

    redis.process.kill("SIGSTOP");
    expect(await timed("messages", 1n)).toMatchObject({ decision: closed, inTime: true });
    expect(await timed("storage.bytes", 15n)).toMatchObject({ decision: open, inTime: true });
    redis.process.kill("SIGKILL");
    expect(await timed("messages", 1n)).toMatchObject({ decision: closed, inTime: true });
    expect(await timed("storage.bytes", 5n)).toMatchObject({ decision: open, inTime: true });
    const enforced = hasty.admin
      .of(QuotaService)
      .checkQuota({ tenant, entries: [{ meter: "messages" }], enforce: true });
    expect(await refusal(enforced)).toMatchObject({ code: "Unavailable", reason: "DECISION_UNAVAILABLE" });

    redis = (await startRedisProcess(redis.port)) as RedisProcess;
    await until(async () => (await ask(first, tenant, "messages", 1n))?.consistency === Consistency.EXACT);
    // What was admitted without Redis is counted, and what the loss had stranded is back.
    await until(async () => {
      await Promise.all([first, second, hasty].map((node) => node.tick()));
      const decision = await ask(first, tenant, "storage.bytes", 0n);
      return decision?.consistency === Consistency.EXACT && decision.limits[0]?.used === 30n;
    });
    await hasty.stop();
  });
});

/** How long that node waits for Redis. */
const BUDGET_MS = 100;
/** The call itself, and a busy machine's turn. */
const TURN_MS = 400;
