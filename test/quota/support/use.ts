import type postgres from "postgres";

/** Writes down that so much of a tenant's limit was used in a period, as the nodes' ledger has it. */
export async function setUse(
  owner: postgres.Sql,
  use: { tenant: string; limitId: string; windowId: string; used: bigint },
): Promise<void> {
  const tenantId = use.tenant.slice("tenants/".length);
  await owner.begin(async (tx) => {
    await tx`select set_config('app.platform', 'on', true)`;
    await tx`insert into quota_holder (holder_uid, tenant_uid, epoch, opened_at)
      select uid, uid, 1, now() - interval '1 hour' from tenant where tenant_id = ${tenantId} on conflict do nothing`;
    await tx`insert into allotment (holder_uid, field, start_mark, limit_id, window_id, ends_at, mark, epoch, opened_at,
        grant_number, base, given)
      select uid, ${`${use.limitId} ${use.windowId}`}, 0, ${use.limitId}, ${use.windowId}, '2100-01-01', 0, 1, now(), 1,
        ${String(use.used)}, 0
      from tenant where tenant_id = ${tenantId}
      on conflict (holder_uid, field, start_mark) do update set base = excluded.base`;
  });
}
