import type { Aggregation } from "../meter/meter.ts";
import type { Queryable } from "../platform/postgres.ts";
import type { Grain } from "./window.ts";

/** A measure of one event, ready to be added. */
export interface BucketMeasure {
  readonly tenantUid: string;
  readonly meterId: string;
  readonly groupKey: string;
  readonly at: number;
  readonly value: string;
}

/** Adds measures to the roll-ups of their minutes, hours and days; the later of two of the same time is the latest. */
export async function addToBuckets(sql: Queryable, measures: readonly BucketMeasure[]): Promise<void> {
  if (measures.length === 0) return;
  const column = <T>(read: (measure: BucketMeasure) => T) => measures.map(read);
  await sql`
    insert into usage_bucket as b (tenant_uid, meter_id, grain, start_at, group_key, sum, count, max, latest, latest_at)
    select m.tenant_uid, m.meter_id, g.grain, date_trunc(g.grain, m.at), m.group_key, sum(m.value), count(*), max(m.value),
      (array_agg(m.value order by m.at desc, m.place desc))[1], max(m.at)
    from (select u.tenant_uid, u.meter_id, u.group_key, to_timestamp(u.at / 1000.0) as at, u.value::numeric as value, u.place
      from unnest(${column((m) => m.tenantUid)}::uuid[], ${column((m) => m.meterId)}::text[],
        ${column((m) => m.groupKey)}::text[], ${column((m) => m.at)}::float8[], ${column((m) => m.value)}::text[])
        with ordinality as u (tenant_uid, meter_id, group_key, at, value, place)) m
      join tenant t on t.uid = m.tenant_uid
      cross join (values ('minute'), ('hour'), ('day')) as g (grain)
    group by m.tenant_uid, m.meter_id, g.grain, date_trunc(g.grain, m.at), m.group_key
    order by 1, 2, 3, 4, 5
    on conflict (tenant_uid, meter_id, grain, start_at, group_key) do update set
      sum = b.sum + excluded.sum, count = b.count + excluded.count, max = greatest(b.max, excluded.max),
      latest = case when excluded.latest_at >= b.latest_at then excluded.latest else b.latest end,
      latest_at = greatest(b.latest_at, excluded.latest_at)`;
}

/** A value of a meter that counts different ones. */
export interface UniqueMeasure extends Omit<BucketMeasure, "value"> {
  /** A UUID made of the value. */
  readonly valueKey: string;
}

/** Adds values to those that were seen. */
export async function addUniques(sql: Queryable, measures: readonly UniqueMeasure[]): Promise<void> {
  if (measures.length === 0) return;
  const column = <T>(read: (measure: UniqueMeasure) => T) => measures.map(read);
  await sql`
    insert into usage_unique (tenant_uid, meter_id, hour_at, group_key, value_key)
    select distinct u.tenant_uid, u.meter_id, date_trunc('hour', to_timestamp(u.at / 1000.0)), u.group_key, u.value_key
    from unnest(${column((m) => m.tenantUid)}::uuid[], ${column((m) => m.meterId)}::text[],
      ${column((m) => m.groupKey)}::text[], ${column((m) => m.at)}::float8[], ${column((m) => m.valueKey)}::uuid[])
      as u (tenant_uid, meter_id, group_key, at, value_key) join tenant t on t.uid = u.tenant_uid
    order by 1, 2, 3, 4, 5 on conflict do nothing`;
}

/** The groups that tenants' meters have, as "tenant uid/meter id/group". */
export async function selectGroups(
  sql: Queryable,
  pairs: readonly { tenantUid: string; meterId: string }[],
): Promise<{ tenantUid: string; meterId: string; groupKey: string }[]> {
  return sql<{ tenantUid: string; meterId: string; groupKey: string }[]>`
    select g.tenant_uid as "tenantUid", g.meter_id as "meterId", g.group_key as "groupKey"
    from usage_group g join unnest(${pairs.map((p) => p.tenantUid)}::uuid[], ${pairs.map((p) => p.meterId)}::text[])
      as p (tenant_uid, meter_id) on p.tenant_uid = g.tenant_uid and p.meter_id = g.meter_id`;
}

/** Remembers groups. */
export async function insertGroups(
  sql: Queryable,
  groups: readonly { tenantUid: string; meterId: string; groupKey: string }[],
): Promise<void> {
  if (groups.length === 0) return;
  await sql`insert into usage_group (tenant_uid, meter_id, group_key)
    select u.tenant_uid, u.meter_id, u.group_key
    from unnest(${groups.map((g) => g.tenantUid)}::uuid[], ${groups.map((g) => g.meterId)}::text[],
      ${groups.map((g) => g.groupKey)}::text[]) as u (tenant_uid, meter_id, group_key)
      join tenant t on t.uid = u.tenant_uid
    on conflict do nothing`;
}

/** Takes a tenant's roll-ups of an hour away, to be made anew. */
export async function clearHour(sql: Queryable, tenantUid: string, hourAt: number): Promise<void> {
  await sql`delete from usage_unique where tenant_uid = ${tenantUid} and hour_at = ${hourAt}`;
  await sql`delete from usage_bucket where tenant_uid = ${tenantUid} and grain in ('minute', 'hour')
    and start_at >= ${hourAt} and start_at < ${hourAt}::timestamptz + interval '1 hour'`;
}

/** Makes a tenant's roll-up of a day anew from its hours. */
export async function rebuildDay(sql: Queryable, tenantUid: string, dayAt: number): Promise<void> {
  await sql`delete from usage_bucket where tenant_uid = ${tenantUid} and grain = 'day' and start_at = ${dayAt}`;
  await sql`insert into usage_bucket (tenant_uid, meter_id, grain, start_at, group_key, sum, count, max, latest, latest_at)
    select tenant_uid, meter_id, 'day', ${dayAt}::timestamptz, group_key, sum(sum), sum(count), max(max),
      (array_agg(latest order by latest_at desc))[1], max(latest_at)
    from usage_bucket where tenant_uid = ${tenantUid} and grain = 'hour' and start_at >= ${dayAt}
      and start_at < ${dayAt}::timestamptz + interval '1 day'
    group by tenant_uid, meter_id, group_key`;
}

/** What a query asks. */
export interface UsageQuery {
  readonly meterId: string;
  readonly aggregation: Aggregation;
  readonly grain: Grain;
  /** The unit of the windows, as date_trunc names it; undefined for one window over all. */
  readonly window: "minute" | "hour" | "day" | "month" | undefined;
  readonly timeZone: string;
  readonly startAt: number;
  readonly endAt: number;
  readonly tenantUid: string | undefined;
  readonly integratorUid: string | undefined;
  readonly groupBy: readonly string[];
}

/** A row of an answer. */
export interface UsageRow {
  readonly startAt: number;
  readonly group: Readonly<Record<string, string>>;
  readonly value: string;
  readonly eventCount: number;
}

/** Answers a query from the roll-ups. What a maximum or a latest value is of several tenants: their maximum, and their sum. */
export function selectUsage(sql: Queryable, query: UsageQuery, limit: number): Promise<UsageRow[]> {
  const start = startOf(sql, query, sql`b.start_at`);
  const inner = {
    SUM: sql`sum(b.sum)`,
    COUNT: sql`sum(b.count)`,
    MAX: sql`max(b.max)`,
    LATEST: sql`(array_agg(b.latest order by b.latest_at desc))[1]`,
    UNIQUE_COUNT: sql`sum(b.count)`,
  }[query.aggregation];
  const outer = query.aggregation === "MAX" ? sql`max(w.value)` : sql`sum(w.value)`;
  return sql<UsageRow[]>`
    select w.start_at as "startAt", w.grouping as "group", trim_scale(${outer})::text as value,
      sum(w.count)::bigint as "eventCount"
    from (select ${start} as start_at, ${groupingOf(sql, query)} as grouping, b.tenant_uid, ${inner} as value,
        sum(b.count) as count
      from usage_bucket b join tenant t on t.uid = b.tenant_uid
      where b.meter_id = ${query.meterId} and b.grain = ${query.grain} and b.start_at >= ${query.startAt}
        and b.start_at < ${query.endAt} and ${scopeOf(sql, query)}
      group by 1, 2, 3) w
    group by 1, 2 order by 1, 2 limit ${limit}`;
}

/** Answers how many different values there were, in windows of hours and longer. */
export function selectUniques(sql: Queryable, query: UsageQuery, limit: number): Promise<UsageRow[]> {
  return sql<UsageRow[]>`
    select ${startOf(sql, query, sql`b.hour_at`)} as "startAt", ${groupingOf(sql, query)} as "group",
      count(distinct (b.tenant_uid, b.value_key))::text as value, count(*) as "eventCount"
    from usage_unique b join tenant t on t.uid = b.tenant_uid
    where b.meter_id = ${query.meterId} and b.hour_at >= ${query.startAt} and b.hour_at < ${query.endAt}
      and ${scopeOf(sql, query)}
    group by 1, 2 order by 1, 2 limit ${limit}`;
}

/** The roll-ups of a tenant's meter by minute, to be compared. */
export function selectMinutes(
  sql: Queryable,
  range: { tenantUid: string; meterId: string; startAt: number; endAt: number },
): Promise<{ startAt: number; groupKey: string; sum: string; count: number; max: string | null; latest: string }[]> {
  return sql`select start_at as "startAt", group_key as "groupKey", trim_scale(sum)::text as sum, count,
      trim_scale(max)::text as max, trim_scale(latest)::text as latest
    from usage_bucket where tenant_uid = ${range.tenantUid} and meter_id = ${range.meterId} and grain = 'minute'
      and start_at >= ${range.startAt} and start_at < ${range.endAt} order by start_at, group_key`;
}

/** Marks a minute to be counted anew. */
export async function markDirty(sql: Queryable, tenantUid: string, minuteAt: number): Promise<void> {
  await sql`insert into usage_dirty (tenant_uid, minute_at) values (${tenantUid}, ${minuteAt}) on conflict do nothing`;
}

/** Takes some of the marks. */
export function takeDirty(sql: Queryable, limit: number): Promise<{ tenantUid: string; minuteAt: number }[]> {
  return sql<{ tenantUid: string; minuteAt: number }[]>`
    delete from usage_dirty where (tenant_uid, minute_at) in
      (select tenant_uid, minute_at from usage_dirty order by tenant_uid, minute_at limit ${limit} for update skip locked)
    returning tenant_uid as "tenantUid", minute_at as "minuteAt"`;
}

function startOf(sql: Queryable, { window, timeZone, startAt }: UsageQuery, column: ReturnType<Queryable>) {
  if (window === undefined) return sql`${startAt}::timestamptz`;
  return sql`date_trunc(${window}, ${column}, ${timeZone})`;
}

function groupingOf(sql: Queryable, { groupBy }: UsageQuery) {
  if (groupBy.length === 0) return sql`'{}'::jsonb`;
  const parts = groupBy.map((name) =>
    name === "tenant"
      ? sql`jsonb_build_object('tenant', 'tenants/' || t.tenant_id)`
      : sql`jsonb_build_object(${name}::text, coalesce(b.group_key::jsonb ->> ${name}, ''))`,
  );
  return parts.reduce((all, part) => sql`${all} || ${part}`);
}

function scopeOf(sql: Queryable, { tenantUid, integratorUid }: UsageQuery) {
  if (tenantUid !== undefined) return sql`b.tenant_uid = ${tenantUid}`;
  if (integratorUid !== undefined) return sql`t.integrator_uid = ${integratorUid}`;
  return sql`true`;
}
