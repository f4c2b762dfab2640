import type { Queryable } from "../platform/postgres.ts";
import type { FlagUse, Usage } from "./usage.ts";

/** Adds counts to those of their days; answers how many were of flags that are not there. */
export async function addUsage(sql: Queryable, usages: readonly Usage[]): Promise<number> {
  const columns = [
    usages.map(({ flagKey }) => flagKey),
    usages.map(({ variant }) => variant),
    usages.map(({ count }) => String(count)),
    usages.map(({ lastAt }) => new Date(lastAt).toISOString()),
  ] as const;
  const [row] = await sql<{ dropped: number }[]>`
    with given as (
      select u.flag_id, u.variant, u.count, u.last_at, f.uid
      from unnest(${columns[0]}::text[], ${columns[1]}::text[], ${columns[2]}::bigint[], ${columns[3]}::timestamptz[])
        as u(flag_id, variant, count, last_at) left join flag f on f.flag_id = u.flag_id),
    added as (
      insert into flag_usage as known (flag_uid, variant, day, count, last_at)
      select uid, variant, (last_at at time zone 'UTC')::date, sum(count), max(last_at) from given where uid is not null
      group by 1, 2, 3 order by 1, 2, 3
      on conflict (flag_uid, day, variant) do update
        set count = known.count + excluded.count, last_at = greatest(known.last_at, excluded.last_at))
    select count(*)::int as dropped from given where uid is null`;
  return row?.dropped ?? 0;
}

/** Which flags were used how, after a key, by key. */
export function selectFlagUse(
  sql: Queryable,
  query: { since: number; owner: string | undefined; after: string; limit: number },
): Promise<FlagUse[]> {
  const owner = query.owner === undefined ? sql`` : sql`and f.owner = ${query.owner}`;
  return sql<FlagUse[]>`
    select f.flag_id as "flagKey", f.owner, f.expires_at as "expiresAt", f.created_at as "createdAt", u.last_at as "lastAt",
      coalesce(w.counts, '{}'::jsonb) as counts
    from flag f
      left join lateral (select max(last_at) as last_at from flag_usage where flag_uid = f.uid) u on true
      left join lateral (
        select jsonb_object_agg(variant, n) as counts from (
          select variant, sum(count) as n from flag_usage
          where flag_uid = f.uid and last_at >= ${query.since} group by variant) v) w on true
    where f.flag_id > ${query.after} ${owner} order by f.flag_id limit ${query.limit}`;
}

/** Forgets the counts of days before an instant. */
export async function deleteUsageBefore(sql: Queryable, at: number): Promise<void> {
  await sql`delete from flag_usage where day < (${at}::timestamptz at time zone 'UTC')::date`;
}
