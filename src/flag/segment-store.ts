import { referencesOfSegment } from "@tenantplane/sdk/evaluate";
import type { Filter } from "../aip/filter.ts";
import { filterToSql } from "../aip/filter-sql.ts";
import type { Json, Queryable } from "../platform/postgres.ts";
import type { Group, Segment } from "./flag.ts";

const COLUMNS = `uid, definition, description, included_count as "includedCount", excluded_count as "excludedCount", revision,
  created_at as "createdAt", updated_at as "updatedAt"`;
const GROUP_COLUMNS = `uid, definition, description, revision, created_at as "createdAt", updated_at as "updatedAt"`;

/** One segment by its key, or undefined. */
export async function selectSegment(sql: Queryable, key: string): Promise<Segment | undefined> {
  const [row] = await sql<Segment[]>`select ${sql.unsafe(COLUMNS)} from flag_segment where segment_id = ${key}`;
  return row;
}

/** A page of segments that match, by key. */
export function selectSegments(
  sql: Queryable,
  query: { filter: Filter | undefined; after: string; limit: number },
): Promise<Segment[]> {
  return selectPage<Segment>(sql, `select ${COLUMNS} from flag_segment`, "segment_id", query);
}

/** All segments. */
export function selectAllSegments(sql: Queryable): Promise<Segment[]> {
  return sql<Segment[]>`select ${sql.unsafe(COLUMNS)} from flag_segment`;
}

/** Several segments by key, in no particular order. */
export function selectSegmentsByKey(sql: Queryable, keys: readonly string[]): Promise<Segment[]> {
  return sql<Segment[]>`select ${sql.unsafe(COLUMNS)} from flag_segment where segment_id = any(${[...keys]})`;
}

/** Inserts a segment. */
export async function insertSegment(sql: Queryable, segment: Segment): Promise<void> {
  const { uid, definition } = segment;
  await sql`insert into flag_segment ${sql({ uid, segment_id: definition.key, ...segmentFields(sql, segment) })}`;
}

/** Writes all fields of a segment. */
export async function updateSegmentRow(sql: Queryable, segment: Segment): Promise<void> {
  await sql`update flag_segment set ${sql(segmentFields(sql, segment))} where uid = ${segment.uid}`;
}

/** Removes a segment with its members. */
export async function deleteSegmentRow(sql: Queryable, uid: string): Promise<void> {
  await sql`delete from flag_segment where uid = ${uid}`;
}

/** A member of a segment. */
export interface Member {
  readonly key: string;
  readonly excluded: boolean;
}

/** Those of the keys that are in one of a segment's lists. */
export function selectMembersByKey(sql: Queryable, segmentUid: string, keys: readonly string[]): Promise<Member[]> {
  return sql<Member[]>`select key, excluded from flag_segment_member
    where segment_uid = ${segmentUid} and key = any(${[...keys]})`;
}

/** A page of one of a segment's lists, by key. */
export async function selectMembers(
  sql: Queryable,
  query: { segmentUid: string; excluded: boolean; after: string; limit: number },
): Promise<string[]> {
  const rows = await sql<{ key: string }[]>`select key from flag_segment_member
    where segment_uid = ${query.segmentUid} and excluded = ${query.excluded} and key > ${query.after}
    order by key limit ${query.limit}`;
  return rows.map(({ key }) => key);
}

/** Streams all members of all segments, a batch at a time. */
export function scanMembers(sql: Queryable, batch: number): AsyncIterable<(Member & { segment: string })[]> {
  return sql<(Member & { segment: string })[]>`
    select s.segment_id as segment, m.key, m.excluded
    from flag_segment s join flag_segment_member m on m.segment_uid = s.uid`.cursor(batch);
}

/** Puts keys into one of a segment's lists, and so out of the other. */
export async function upsertMembers(
  sql: Queryable,
  segmentUid: string,
  keys: readonly string[],
  excluded: boolean,
): Promise<void> {
  await sql`insert into flag_segment_member (segment_uid, key, excluded)
    select ${segmentUid}, key, ${excluded} from unnest(${[...keys]}::text[]) as key
    on conflict (segment_uid, key) do update set excluded = excluded.excluded`;
}

/** Takes keys out of both of a segment's lists. */
export async function deleteMembers(sql: Queryable, segmentUid: string, keys: readonly string[]): Promise<void> {
  await sql`delete from flag_segment_member where segment_uid = ${segmentUid} and key = any(${[...keys]})`;
}

/** One group by its key, or undefined. */
export async function selectGroup(sql: Queryable, key: string): Promise<Group | undefined> {
  const [row] = await sql<Group[]>`select ${sql.unsafe(GROUP_COLUMNS)} from flag_group where group_id = ${key}`;
  return row;
}

/** A page of groups that match, by key. */
export function selectGroups(
  sql: Queryable,
  query: { filter: Filter | undefined; after: string; limit: number },
): Promise<Group[]> {
  return selectPage<Group>(sql, `select ${GROUP_COLUMNS} from flag_group`, "group_id", query);
}

/** All groups. */
export function selectAllGroups(sql: Queryable): Promise<Group[]> {
  return sql<Group[]>`select ${sql.unsafe(GROUP_COLUMNS)} from flag_group`;
}

/** Several groups by key, in no particular order. */
export function selectGroupsByKey(sql: Queryable, keys: readonly string[]): Promise<Group[]> {
  return sql<Group[]>`select ${sql.unsafe(GROUP_COLUMNS)} from flag_group where group_id = any(${[...keys]})`;
}

/** Inserts a group. */
export async function insertGroup(sql: Queryable, group: Group): Promise<void> {
  const { uid, definition, description, revision, createdAt, updatedAt } = group;
  await sql`insert into flag_group (uid, group_id, definition, description, revision, created_at, updated_at)
    values (${uid}, ${definition.key}, ${sql.json(definition as unknown as Json)}, ${description}, ${revision},
      ${createdAt}, ${updatedAt})`;
}

/** Writes a group's description: all else is fixed. */
export async function updateGroupRow(sql: Queryable, group: Group): Promise<void> {
  await sql`update flag_group set description = ${group.description}, revision = ${group.revision},
    updated_at = ${group.updatedAt} where uid = ${group.uid}`;
}

/** Removes a group. */
export async function deleteGroupRow(sql: Queryable, uid: string): Promise<void> {
  await sql`delete from flag_group where uid = ${uid}`;
}

/** A page by key of whatever a filtered list reads. */
function selectPage<T extends object>(
  sql: Queryable,
  select: string,
  key: string,
  query: { filter: Filter | undefined; after: string; limit: number },
) {
  const condition = query.filter ? filterToSql(query.filter, 1) : { text: "true", params: [] };
  const params = [...condition.params, query.after, query.limit];
  return sql.unsafe<T[]>(
    `${select} where ${condition.text} and ${key} > $${params.length - 1} order by ${key} limit $${params.length}`,
    params as never[],
  );
}

function segmentFields(sql: Queryable, segment: Segment) {
  return {
    definition: sql.json(segment.definition as unknown as Json),
    description: segment.description,
    included_count: segment.includedCount,
    excluded_count: segment.excludedCount,
    segment_refs: [...new Set(referencesOfSegment(segment.definition).segments)],
    revision: segment.revision,
    created_at: segment.createdAt,
    updated_at: segment.updatedAt,
  };
}
