import type { Queryable } from "../platform/postgres.ts";
import type { Flag, Group, Segment } from "./flag.ts";
import { selectGroupsByKey, selectSegmentsByKey } from "./segment-store.ts";
import { selectFlagsByKey, selectFlagsOfGroups } from "./store.ts";

/** Keys of documents, by kind. */
export interface Keys {
  readonly flags: readonly string[];
  readonly segments: readonly string[];
  readonly groups: readonly string[];
}

/** Documents, by kind. */
export interface Documents {
  readonly flags: readonly Flag[];
  readonly segments: readonly Segment[];
  readonly groups: readonly Group[];
}

/**
 * All documents that have a say in whether a change is right: those that refer to the changed ones, over any number of
 * steps; those that these, or the changed ones from now on (`wanted`), refer to; and the flags of their groups.
 */
export async function selectNeighbours(sql: Queryable, changed: Keys, wanted: Keys): Promise<Documents> {
  const rows = await sql<{ kind: "flag" | "segment"; key: string }[]>`
    with recursive users(kind, key) as (
      select 'flag', unnest(${[...changed.flags]}::text[]) collate "C" union select 'segment', unnest(${[...changed.segments]}::text[]) collate "C"
      union select x.kind, x.key from users u cross join lateral (
        select 'flag' as kind, f.flag_id as key from flag f where u.kind = 'flag' and f.flag_refs @> array[u.key]
        union all select 'flag', f.flag_id from flag f where u.kind = 'segment' and f.segment_refs @> array[u.key]
        union all select 'segment', s.segment_id from flag_segment s where u.kind = 'segment' and s.segment_refs @> array[u.key]
      ) x),
    used(kind, key) as (
      select kind, key from users
      union select 'flag', unnest(${[...wanted.flags]}::text[]) collate "C" union select 'segment', unnest(${[...wanted.segments]}::text[]) collate "C"
      union select x.kind, x.key from used u cross join lateral (
        select 'flag' as kind, unnest(f.flag_refs) as key from flag f where u.kind = 'flag' and f.flag_id = u.key
        union all select 'segment', unnest(f.segment_refs) from flag f where u.kind = 'flag' and f.flag_id = u.key
        union all select 'segment', unnest(s.segment_refs) from flag_segment s where u.kind = 'segment' and s.segment_id = u.key
      ) x)
    select kind, key from used`;
  const keysOf = (kind: string) => rows.filter((row) => row.kind === kind).map(({ key }) => key);
  const [flags, segments, mates] = await Promise.all([
    selectFlagsByKey(sql, keysOf("flag")),
    selectSegmentsByKey(sql, keysOf("segment")),
    selectFlagsOfGroups(sql, wanted.groups),
  ]);
  const all = new Map([...mates, ...flags].map((flag) => [flag.uid, flag]));
  const groups = [...all.values()].flatMap(({ definition }) => (definition.group ? [definition.group.group] : []));
  return { flags: [...all.values()], segments, groups: await selectGroupsByKey(sql, [...wanted.groups, ...groups]) };
}

/** Names of what refers to a flag, a segment or a group, at most `limit`. */
export async function selectUsers(
  sql: Queryable,
  kind: "flag" | "segment" | "group",
  key: string,
  limit: number,
): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select 'flags/' || flag_id as name from flag
      where (${kind} = 'flag' and flag_refs @> array[${key}::text])
        or (${kind} = 'segment' and segment_refs @> array[${key}::text]) or (${kind} = 'group' and group_ref = ${key})
    union all select 'flagSegments/' || segment_id from flag_segment
      where ${kind} = 'segment' and segment_refs @> array[${key}::text]
    union all select 'tenants/' || t.tenant_id || '/flagOverrides/' || f.flag_id
      from flag_override o join tenant t on t.uid = o.tenant_uid join flag f on f.uid = o.flag_uid
      where (${kind} = 'flag' and f.flag_id = ${key}) or (${kind} = 'segment' and o.segment_refs @> array[${key}::text])
    union all select 'flagSchedules/' || schedule_id from flag_schedule
      where ${kind} = 'flag' and state = 'PENDING' and flag_refs @> array[${key}::text]
    limit ${limit}`;
  return rows.map(({ name }) => name);
}
