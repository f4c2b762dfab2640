import { referencesOfFlag } from "@tenantplane/sdk/evaluate";
import type { Filter } from "../aip/filter.ts";
import { filterToSql } from "../aip/filter-sql.ts";
import { keysetSql, type Order } from "../aip/order-by.ts";
import type { Json, Queryable } from "../platform/postgres.ts";
import type { Flag, Revision } from "./flag.ts";

const COLUMNS = `uid, definition, description, owner, labels, tenant_overridable as "tenantOverridable",
  expires_at as "expiresAt", revision, created_at as "createdAt", updated_at as "updatedAt"`;

/** One flag by its key, or undefined. */
export async function selectFlag(sql: Queryable, key: string): Promise<Flag | undefined> {
  const [row] = await sql<Flag[]>`select ${sql.unsafe(COLUMNS)} from flag where flag_id = ${key}`;
  return row;
}

/** Several flags by key, in no particular order. */
export function selectFlagsByKey(sql: Queryable, keys: readonly string[]): Promise<Flag[]> {
  return sql<Flag[]>`select ${sql.unsafe(COLUMNS)} from flag where flag_id = any(${[...keys]})`;
}

/** A page of flags: those that match, after the position, in order. */
export function selectFlags(
  sql: Queryable,
  query: { filter: Filter | undefined; order: Order; position: readonly unknown[] | undefined; limit: number },
): Promise<Flag[]> {
  const condition = query.filter ? filterToSql(query.filter, 1) : { text: "true", params: [] };
  const keyset = keysetSql(query.order, query.position, condition.params.length + 1);
  const params = [...condition.params, ...keyset.params, query.limit];
  return sql.unsafe<Flag[]>(
    `select ${COLUMNS} from flag where ${condition.text} and ${keyset.where}
     order by ${keyset.orderBy} limit $${params.length}`,
    params as never[],
  );
}

/** Streams all flags, a batch at a time. */
export function scanFlags(sql: Queryable, batch: number): AsyncIterable<Flag[]> {
  return sql<Flag[]>`select ${sql.unsafe(COLUMNS)} from flag`.cursor(batch);
}

/** How many flags there are. */
export async function countFlags(sql: Queryable): Promise<number> {
  const [row] = await sql<{ n: number }[]>`select count(*)::int as n from flag`;
  return row?.n ?? 0;
}

/** Inserts a flag. */
export async function insertFlag(sql: Queryable, flag: Flag): Promise<void> {
  await sql`insert into flag ${sql({ uid: flag.uid, flag_id: flag.definition.key, ...fields(sql, flag) })}`;
}

/** Writes all fields of a flag. */
export async function updateFlagRow(sql: Queryable, flag: Flag): Promise<void> {
  await sql`update flag set ${sql(fields(sql, flag))} where uid = ${flag.uid}`;
}

/** Removes a flag with its revisions and counts; an override that is left shows as a foreign key violation. */
export async function deleteFlagRow(sql: Queryable, uid: string): Promise<void> {
  await sql`delete from flag where uid = ${uid}`;
}

/** Flags of several groups. */
export function selectFlagsOfGroups(sql: Queryable, groupKeys: readonly string[]): Promise<Flag[]> {
  return sql<Flag[]>`select ${sql.unsafe(COLUMNS)} from flag where group_ref = any(${[...groupKeys]})`;
}

/** Keeps the flag as it is after a write, and forgets revisions older than the newest `kept`. */
export async function insertRevision(sql: Queryable, revision: Revision, kept: number): Promise<void> {
  const { flag } = revision;
  await sql`insert into flag_revision (flag_uid, revision, flag, verb, actor, reason, at)
    values (${flag.uid}, ${flag.revision}, ${sql.json(flag as unknown as Json)}, ${revision.verb}, ${revision.actor},
      ${revision.reason}, ${revision.at})`;
  await sql`delete from flag_revision where flag_uid = ${flag.uid} and revision <= ${flag.revision - kept}`;
}

/** One revision of a flag, or undefined. */
export async function selectRevision(sql: Queryable, uid: string, revision: number): Promise<Revision | undefined> {
  const [row] = await sql<Revision[]>`
    select flag, verb, actor, reason, at from flag_revision where flag_uid = ${uid} and revision = ${revision}`;
  return row;
}

/** A page of a flag's revisions, newest first, below one. */
export function selectRevisions(sql: Queryable, uid: string, below: number, limit: number): Promise<Revision[]> {
  return sql<Revision[]>`
    select flag, verb, actor, reason, at from flag_revision
    where flag_uid = ${uid} and revision < ${below} order by revision desc limit ${limit}`;
}

function fields(sql: Queryable, flag: Flag) {
  const json = (value: unknown) => sql.json(value as Json);
  const references = referencesOfFlag(flag.definition);
  return {
    definition: json(flag.definition),
    description: flag.description,
    owner: flag.owner,
    labels: json(flag.labels),
    tenant_overridable: flag.tenantOverridable,
    expires_at: flag.expiresAt,
    flag_refs: [...new Set(references.flags)],
    segment_refs: [...new Set(references.segments)],
    group_ref: references.groups[0] ?? null,
    revision: flag.revision,
    created_at: flag.createdAt,
    updated_at: flag.updatedAt,
  };
}
