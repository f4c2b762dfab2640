import type { Clients } from "@tenantplane/sdk";
import { Meter_Kind } from "@tenantplane/sdk/gen/tenantplane/v1/quota_admin_pb";
import type { Place, Server } from "./place.ts";
import { startNode, tenantId } from "./tenants.ts";

/** Meters by the number of limits that each has. */
export const METERS = { one: 1, three: 3, five: 5 } as const;

/** Periods of limits that no benchmark reaches the end of. */
const DURATIONS = ["P1M", "P1D", "P1Y", "P1W", "PT1H"];
const AMOUNT = 10n ** 15n;
/** Exact checks are measured, however long they wait on a busy machine: none is to be answered by a policy. */
const PATIENCE = { QUOTA_BUDGET_MS: "5000", QUOTA_GRANT_BUDGET_MS: "5000" };

/** A node that decides for some tenants, each with the limits of `METERS`. */
export interface QuotaNode {
  readonly server: Server;
  readonly clients: Clients & { close(): void };
  readonly databaseUrl: string;
  /** Their names. */
  readonly tenants: readonly string[];
}

/** Starts one; its hot state is in Redis, or in its memory when there is no URL. */
export async function startQuotaNode(place: Place, count: number, redisUrl: string | undefined): Promise<QuotaNode> {
  const settings = { ...PATIENCE, ...(redisUrl === undefined ? {} : { REDIS_URL: redisUrl }) };
  const { url, server, clients } = await startNode(place, settings);
  for (const meterId of Object.keys(METERS)) {
    await clients.quotas.createMeter({ meterId, meter: { displayName: meterId, kind: Meter_Kind.PERIOD } });
  }
  const limits = Object.entries(METERS).flatMap(([meter, number]) =>
    DURATIONS.slice(0, number).map((duration) => ({
      meter,
      limitId: `${meter}.${duration.toLowerCase()}`,
      amount: AMOUNT,
      rule: { case: "period" as const, value: { duration } },
    })),
  );
  await clients.plans.createPlan({ planId: "metered", plan: { displayName: "Metered", limits } });
  const tenants = Array.from({ length: count }, (_, n) => `tenants/${tenantId(n)}`);
  const waiting = [...tenants];
  const create = async () => {
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      const tenant = { displayName: "Bench", plan: "plans/metered" };
      await clients.tenants.createTenant({ tenantId: name.slice("tenants/".length), tenant, activate: true });
    }
  };
  await Promise.all(Array.from({ length: 16 }, create));
  return { server, clients, databaseUrl: url, tenants };
}
