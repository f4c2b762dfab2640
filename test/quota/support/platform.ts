import { Meter_Kind } from "@tenantplane/sdk/gen/tenantplane/v1/quota_admin_pb";
import type { Clients, TestApp } from "../../support/app.ts";

/** What the suites of limits share: a meter of each kind, and a plan with a limit of each. */
export async function createPlatform(app: TestApp): Promise<void> {
  const kinds = { calls: "RATE", messages: "PERIOD", bytes: "GAUGE", jobs: "CONCURRENCY" } as const;
  for (const [meterId, kind] of Object.entries(kinds)) {
    await app.admin.quotas.createMeter({ meterId, meter: { displayName: meterId, kind: Meter_Kind[kind] } });
  }
  const second = { seconds: 1n, nanos: 0 };
  const limits = [
    { meter: "bytes", amount: 500n },
    { meter: "calls", amount: 10n, rule: { case: "rate" as const, value: { window: second } } },
    { meter: "jobs", amount: 2n, rule: { case: "concurrency" as const, value: { slotTtl: second } } },
    {
      meter: "messages",
      amount: 1_000n,
      rule: { case: "period" as const, value: { duration: "P1M", rolloverMax: 300n } },
    },
    { meter: "seats", amount: 3n },
  ];
  await app.admin.plans.createPlan({ planId: "pro", plan: { displayName: "Pro", limits } });
}

export async function createTenant(
  app: TestApp,
  tenantId: string,
  more: { integrator?: string; timeZone?: string } = {},
) {
  const tenant = { displayName: tenantId, plan: "plans/pro", ...more };
  await app.admin.tenants.createTenant({ tenantId, tenant, activate: true });
  return `tenants/${tenantId}`;
}

/** Clients with a new key of a role. */
export async function keyFor(app: TestApp, role: string, scope: string): Promise<Clients> {
  return app.clients((await app.admin.access.createApiKey({ apiKey: { displayName: "k", role, scope } })).secret);
}

/** What a tenant may use of a limit, as this node answers. */
export async function amountOf(app: TestApp, name: string, limitId = "messages"): Promise<bigint | undefined> {
  const { limits } = await app.admin.quotas.getTenantQuotas({ name });
  return limits.find((limit) => limit.limitId === limitId && limit.holder === name)?.amount;
}

/** The same from this node's memory, which the change log feeds; undefined while it knows nothing of the tenant. */
export async function cachedAmountOf(app: TestApp, name: string, limitId: string): Promise<bigint | undefined> {
  const consistency = { requirement: { case: "cached" as const, value: true } };
  const limits = await app.admin.quotas.getTenantQuotas({ name, consistency }).then(
    (answer) => answer.limits,
    () => [],
  );
  return limits.find((limit) => limit.limitId === limitId && limit.holder === name)?.amount;
}
