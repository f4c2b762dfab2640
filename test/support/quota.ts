import type { MessageInitShape } from "@bufbuild/protobuf";
import { type LimitSchema, RateRule_Algorithm } from "@tenantplane/sdk/gen/tenantplane/v1/limit_pb";
import { Meter_Kind } from "@tenantplane/sdk/gen/tenantplane/v1/quota_admin_pb";
import { QuotaService } from "@tenantplane/sdk/gen/tenantplane/v1/quota_pb";
import type { Clients, TestApp } from "./app.ts";
import { until } from "./until.ts";

type Limit = MessageInitShape<typeof LimitSchema>;

/** One meter of each kind. */
export const METERS = {
  "api.calls": Meter_Kind.RATE,
  messages: Meter_Kind.PERIOD,
  "storage.bytes": Meter_Kind.GAUGE,
  jobs: Meter_Kind.CONCURRENCY,
} as const;

/** Limits that a test can reach: 10 calls at once and then one a minute, 100 messages a month, 1,000 bytes, two jobs. */
export const LIMITS: Limit[] = [
  {
    meter: "api.calls",
    amount: 60n,
    rule: { case: "rate", value: { algorithm: RateRule_Algorithm.GCRA, window: { seconds: 3_600n }, burst: 10n } },
  },
  { meter: "messages", amount: 100n, rule: { case: "period", value: { duration: "P1M" } } },
  { meter: "storage.bytes", amount: 1_000n },
  { meter: "jobs", amount: 2n, rule: { case: "concurrency", value: { slotTtl: { seconds: 60n } } } },
];

/** Tests share two cores with others: what is slow is not away. */
export const PATIENT = { QUOTA_BUDGET_MS: "10000", QUOTA_GRANT_BUDGET_MS: "10000" };

/** Makes the meters, and the plan "metered" with these limits. */
export async function createMeters(admin: Clients, limits: Limit[] = LIMITS): Promise<void> {
  const quotas = admin.of(QuotaService);
  for (const [meterId, kind] of Object.entries(METERS)) {
    await quotas.createMeter({ meterId, meter: { displayName: meterId, kind } });
  }
  await admin.plans.createPlan({ planId: "metered", plan: { displayName: "Metered", limits } });
}

/** Makes an ACTIVE tenant on the plan "metered" that the node decides for; answers its name. */
export async function createMeteredTenant(app: TestApp, tenantId: string, integrator = ""): Promise<string> {
  const tenant = { displayName: tenantId, plan: "plans/metered", integrator };
  await app.admin.tenants.createTenant({ tenantId, tenant, activate: true });
  const name = `tenants/${tenantId}`;
  await until(async () => {
    const { decision } = await app.admin
      .of(QuotaService)
      .checkQuota({ tenant: name, entries: [{ meter: "messages", amount: 0n }] });
    return decision?.outcome === 1;
  });
  return name;
}

/** A key of the role "service", as those have it who ask on the hot path. */
export async function serviceKey(app: TestApp): Promise<string> {
  const apiKey = { displayName: "service", role: "service", scope: "platform" };
  return (await app.admin.access.createApiKey({ apiKey })).secret;
}
