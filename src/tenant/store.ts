import type { Filter } from "../aip/filter.ts";
import { filterToSql } from "../aip/filter-sql.ts";
import { keysetSql, type Order } from "../aip/order-by.ts";
import type { Json, Queryable } from "../platform/postgres.ts";
import type { Tenant, Transition } from "./tenant.ts";

const COLUMNS = `uid, tenant_id as "tenantId", display_name as "displayName", state, prior_state as "priorState",
  archived_from as "archivedFrom", suspensions, legal_holds as "legalHolds", integrator_uid as "integratorUid",
  integrator_id as "integratorId", plan_uid as "planUid", plan_id as "planId", plan_version as "planVersion", labels,
  region, settings, time_zone as "timeZone", epoch, revision, created_at as "createdAt", updated_at as "updatedAt",
  deleted_at as "deletedAt", purge_at as "purgeAt"`;

/** One tenant by its id, or undefined. */
export async function selectTenant(sql: Queryable, tenantId: string): Promise<Tenant | undefined> {
  const [row] = await sql<Tenant[]>`select ${sql.unsafe(COLUMNS)} from tenant where tenant_id = ${tenantId}`;
  return row;
}

/** One tenant by its uid, or undefined. */
export async function selectTenantByUid(sql: Queryable, uid: string): Promise<Tenant | undefined> {
  const [row] = await sql<Tenant[]>`select ${sql.unsafe(COLUMNS)} from tenant where uid = ${uid}`;
  return row;
}

/** Several tenants by id, in no particular order. */
export function selectTenantsById(sql: Queryable, tenantIds: readonly string[]): Promise<Tenant[]> {
  return sql<Tenant[]>`select ${sql.unsafe(COLUMNS)} from tenant where tenant_id = any(${[...tenantIds]})`;
}

/** A page of tenants: those that match, after the position, in order. */
export function selectTenants(
  sql: Queryable,
  query: {
    filter: Filter | undefined;
    order: Order;
    position: readonly unknown[] | undefined;
    showDeleted: boolean;
    limit: number;
  },
): Promise<Tenant[]> {
  const condition = query.filter ? filterToSql(query.filter, 1) : { text: "true", params: [] };
  const keyset = keysetSql(query.order, query.position, condition.params.length + 1);
  const params = [...condition.params, ...keyset.params, query.limit];
  return sql.unsafe<Tenant[]>(
    `select ${COLUMNS} from tenant where ${condition.text} and ${keyset.where}
     ${query.showDeleted ? "" : "and state <> 'DELETED'"} order by ${keyset.orderBy} limit $${params.length}`,
    params as never[],
  );
}

/** Streams all tenants, a batch at a time. */
export function scanTenants(sql: Queryable, batch: number): AsyncIterable<Tenant[]> {
  return sql<Tenant[]>`select ${sql.unsafe(COLUMNS)} from tenant`.cursor(batch);
}

/** Inserts a tenant; a taken id shows as a unique violation. */
export async function insertTenant(sql: Queryable, tenant: Tenant): Promise<void> {
  await sql`insert into tenant ${sql(row(sql, tenant))}`;
}

/** Writes all fields of a tenant. */
export async function updateTenantRow(sql: Queryable, tenant: Tenant): Promise<void> {
  const { uid, ...fields } = row(sql, tenant);
  await sql`update tenant set ${sql(fields)} where uid = ${uid}`;
}

/** Removes a tenant and all that hangs on it. */
export async function deleteTenantRow(sql: Queryable, uid: string): Promise<void> {
  await sql`delete from tenant where uid = ${uid}`;
}

/** Ids of deleted tenants whose time to be purged has come and that nothing holds, oldest first. */
export async function selectPurgeable(sql: Queryable, now: number, limit: number): Promise<string[]> {
  const rows = await sql<{ tenantId: string }[]>`
    select tenant_id as "tenantId" from tenant
    where state = 'DELETED' and purge_at <= ${now} and legal_holds = '[]'::jsonb order by purge_at limit ${limit}`;
  return rows.map(({ tenantId }) => tenantId);
}

/** Adds a step to a tenant's history. */
export async function insertTransition(sql: Queryable, tenantUid: string, step: Transition): Promise<void> {
  await sql`insert into transition (tenant_uid, epoch, uid, verb, from_state, to_state, reason, actor, at)
    values (${tenantUid}, ${step.epoch}, ${step.uid}, ${step.verb}, ${step.fromState}, ${step.toState}, ${step.reason},
      ${step.actor}, ${step.at})`;
}

/** A page of a tenant's history, newest first, below an epoch. */
export function selectTransitions(
  sql: Queryable,
  tenantUid: string,
  belowEpoch: number,
  limit: number,
): Promise<Transition[]> {
  return sql<Transition[]>`
    select uid, verb, from_state as "fromState", to_state as "toState", reason, actor, epoch, at
    from transition where tenant_uid = ${tenantUid} and epoch < ${belowEpoch} order by epoch desc limit ${limit}`;
}

function row(sql: Queryable, tenant: Tenant) {
  const json = (value: unknown) => sql.json(value as Json);
  return {
    uid: tenant.uid,
    tenant_id: tenant.tenantId,
    display_name: tenant.displayName,
    state: tenant.state,
    prior_state: tenant.priorState,
    archived_from: tenant.archivedFrom,
    suspensions: json(tenant.suspensions),
    legal_holds: json(tenant.legalHolds),
    integrator_uid: tenant.integratorUid,
    integrator_id: tenant.integratorId,
    plan_uid: tenant.planUid,
    plan_id: tenant.planId,
    plan_version: tenant.planVersion,
    labels: json(tenant.labels),
    region: tenant.region,
    settings: json(tenant.settings),
    time_zone: tenant.timeZone,
    epoch: tenant.epoch,
    revision: tenant.revision,
    created_at: tenant.createdAt,
    updated_at: tenant.updatedAt,
    deleted_at: tenant.deletedAt,
    purge_at: tenant.purgeAt,
  };
}
