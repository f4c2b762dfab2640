import type { Queryable } from "../platform/postgres.ts";

/** What is counted of a tenant's limit, in the period by its id; empty for gauges. */
export interface CountedLimit {
  readonly tenantId: string;
  readonly limitId: string;
  readonly windowId: string;
  readonly used: string;
  readonly held: string;
}

/**
 * Tenants' limits that may be near their amount, the fullest by the plan's amount first. May: what was given away to the
 * hot state is at least what was used, and an override, a grant or a rollover may have changed the amount.
 */
export function selectMaybeNear(
  sql: Queryable,
  query: { limitId: string; minPercent: number; integratorId: string; now: number; limit: number },
): Promise<CountedLimit[]> {
  const { limitId, minPercent, integratorId } = query;
  return sql<CountedLimit[]>`
    with planned as (
      select v.plan_uid, v.version, l.value ->> 'limitId' as limit_id, l.value ->> 'meter' as meter,
        greatest((l.value ->> 'amount')::numeric, 1) as amount
      from plan_version v cross join jsonb_array_elements(v.limits) l),
    counted as (
      select a.holder_uid as tenant_uid, a.limit_id, a.window_id, a.base, a.base + a.given as given, a.field, a.mark, a.epoch
      from allotment a where a.ends_at is null or a.ends_at > ${query.now}
      union all
      select s.tenant_uid, l.limit_id, '', s.used_amount, s.used_amount, null, 0, 0 from seat_count s
        join tenant t on t.uid = s.tenant_uid
        cross join lateral (
          select p.limit_id from planned p where p.plan_uid = t.plan_uid and p.version = t.plan_version and p.meter = 'seats'
          union select o.limit_id from quota_override o
            where o.tenant_uid = t.uid and not o.ended and o.quota_limit ->> 'meter' = 'seats') l)
    select t.tenant_id as "tenantId", c.limit_id as "limitId", c.window_id as "windowId",
      sum(c.base + coalesce((select sum(m.spent) from admission m where m.holder_uid = c.tenant_uid and m.field = c.field
        and m.mark = c.mark and m.epoch = c.epoch), 0))::text as used,
      sum(coalesce((select sum(o.amount) from allotment_hold o where o.holder_uid = c.tenant_uid and o.field = c.field
        and o.mark = c.mark and o.epoch = c.epoch), 0))::text as held
    from counted c join tenant t on t.uid = c.tenant_uid
    left join planned p on p.plan_uid = t.plan_uid and p.version = t.plan_version and p.limit_id = c.limit_id
    where t.state <> 'DELETED'
      ${limitId === "" ? sql`` : sql`and c.limit_id = ${limitId}`}
      ${integratorId === "" ? sql`` : sql`and t.integrator_id = ${integratorId}`}
      and (c.given * 100 >= p.amount * ${minPercent} or p.amount is null or exists (
        select from quota_override o where o.tenant_uid = t.uid and o.limit_id = c.limit_id and not o.ended))
    group by t.tenant_id, c.limit_id, c.window_id, p.amount
    order by sum(c.given) / p.amount desc nulls first limit ${query.limit}`;
}

/** Up to when all nodes that work have told what they admitted; undefined without any. */
export async function selectLedgerTime(sql: Queryable, lostMs: number): Promise<number | undefined> {
  const [row] = await sql<{ at: number | null }[]>`
    select min(flushed_at) as at from quota_node
    where stopped_at is null and flushed_at > now() - make_interval(secs => ${lostMs / 1_000})`;
  return row?.at ?? undefined;
}
