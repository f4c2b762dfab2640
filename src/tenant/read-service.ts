import { type Ctx, rowScope } from "../context.ts";
import { notFound } from "../errors.ts";
import { type MutationDeps, read } from "../mutation.ts";
import { createBatchReader } from "../platform/batcher.ts";
import { PLATFORM_SCOPE, readAs, type Sql } from "../platform/postgres.ts";
import { requireTenant } from "./service.ts";
import { selectTenantsById } from "./store.ts";
import { type Tenant, tenantName } from "./tenant.ts";

export interface TenantReadDeps extends Pick<MutationDeps, "sql" | "clock"> {
  /** Reads a tenant as the platform sees it. */
  readonly readTenant: (tenantId: string) => Promise<Tenant | undefined>;
}

/** Makes `readTenant`: callers at the same time share one transaction. */
export function createTenantReader(sql: Sql): TenantReadDeps["readTenant"] {
  return createBatchReader(READS, async (tenantIds) => {
    const rows = await readAs(sql, PLATFORM_SCOPE, READ_TIMEOUT_MS, (tx) => selectTenantsById(tx, tenantIds));
    return new Map(rows.map((row) => [row.tenantId, row]));
  });
}

/** Five hundred are found about as fast as one. What waits longer than ten thousand reads take has been given up by its callers. */
const READS = { sizeMax: 500, underWayMax: 2, waitingMax: 10_000 };
/** No one call's deadline can end what several wait for; a database this slow is as good as away. */
const READ_TIMEOUT_MS = 10_000;

/** Reads a tenant from the database. Throws RESOURCE_NOT_FOUND. */
export async function getTenant(deps: TenantReadDeps, ctx: Ctx, tenantId: string): Promise<Tenant> {
  // Row level security shows others less: each of them reads by itself.
  if (!rowScope(ctx.principal).platform) return read(deps, ctx, (tx) => requireTenant(tx, tenantId));
  const tenant = await deps.readTenant(tenantId);
  if (!tenant) throw notFound("Tenant", tenantName(tenantId));
  return tenant;
}

/** Reads several tenants from one snapshot, in the order of their ids. Throws RESOURCE_NOT_FOUND for the first missing. */
export async function batchGetTenants(
  deps: Pick<MutationDeps, "sql" | "clock">,
  ctx: Ctx,
  tenantIds: readonly string[],
): Promise<Tenant[]> {
  const rows = await read(deps, ctx, (tx) => selectTenantsById(tx, tenantIds));
  const byId = new Map(rows.map((row) => [row.tenantId, row]));
  return tenantIds.map((id) => {
    const tenant = byId.get(id);
    if (!tenant) throw notFound("Tenant", tenantName(id));
    return tenant;
  });
}
