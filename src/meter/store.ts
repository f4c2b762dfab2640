import type { Json, Queryable } from "../platform/postgres.ts";
import type { Meter } from "./meter.ts";

/** One meter by its id, or undefined. */
export async function selectMeter(sql: Queryable, meterId: string): Promise<Meter | undefined> {
  const [row] = await sql<Meter[]>`${columns(sql)} where meter_id = ${meterId}`;
  return row;
}

/** Several meters by id, in no particular order. */
export function selectMetersById(sql: Queryable, meterIds: readonly string[]): Promise<Meter[]> {
  return sql<Meter[]>`${columns(sql)} where meter_id = any(${[...meterIds]})`;
}

/** A page of meters, by id. */
export function selectMeters(sql: Queryable, afterId: string, limit: number): Promise<Meter[]> {
  return sql<Meter[]>`${columns(sql)} where meter_id > ${afterId} order by meter_id limit ${limit}`;
}

/** Inserts a meter. */
export async function insertMeter(sql: Queryable, meter: Meter): Promise<void> {
  await sql`insert into meter (meter_id, uid, display_name, kind, unit, description, event_source, revision,
      created_at, updated_at)
    values (${meter.meterId}, ${meter.uid}, ${meter.displayName}, ${meter.kind}, ${meter.unit}, ${meter.description},
      ${sourceOf(sql, meter)}, ${meter.revision}, ${meter.createdAt}, ${meter.updatedAt})`;
}

/** Writes what can change of a meter. */
export async function updateMeterRow(sql: Queryable, meter: Meter): Promise<void> {
  await sql`update meter set display_name = ${meter.displayName}, unit = ${meter.unit},
      description = ${meter.description}, event_source = ${sourceOf(sql, meter)}, revision = ${meter.revision}, updated_at = ${meter.updatedAt}
    where meter_id = ${meter.meterId}`;
}

/** Removes a meter. */
export async function deleteMeterRow(sql: Queryable, meterId: string): Promise<void> {
  await sql`delete from meter where meter_id = ${meterId}`;
}

/** The name of something whose limits name the meter: a plan in any version, an integrator or an override; or undefined. */
export async function selectMeterUser(sql: Queryable, meterId: string): Promise<string | undefined> {
  const limits = sql.json([{ meter: meterId }]);
  const [row] = await sql<{ name: string }[]>`
    select 'plans/' || p.plan_id as name from plan_version v join plan p on p.uid = v.plan_uid where v.limits @> ${limits}
    union all select 'integrators/' || integrator_id from integrator where limits @> ${limits}
    union all select 'tenants/' || t.tenant_id || '/quotaOverrides/' || o.override_id
      from quota_override o join tenant t on t.uid = o.tenant_uid where o.quota_limit ->> 'meter' = ${meterId}
    limit 1`;
  return row?.name;
}

/** The meters that count usage events. */
export function selectCountingMeters(sql: Queryable): Promise<Meter[]> {
  return sql<Meter[]>`${columns(sql)} where event_source is not null`;
}

function sourceOf(sql: Queryable, { eventSource }: Meter) {
  return eventSource === null ? null : sql.json(eventSource as unknown as Json);
}

function columns(sql: Queryable) {
  return sql`select meter_id as "meterId", uid, display_name as "displayName", kind, unit, description,
    event_source as "eventSource", revision, created_at as "createdAt", updated_at as "updatedAt" from meter`;
}
