import type { Queryable } from "../platform/postgres.ts";
import type { ApiKey, KeyHashes } from "./key.ts";

/** A key with the hashes of its secrets, or undefined. */
export async function selectKey(sql: Queryable, keyId: string): Promise<(ApiKey & KeyHashes) | undefined> {
  const [row] = await sql<(ApiKey & KeyHashes)[]>`
    select ${columns(sql)}, secret_hash as "secretHash", previous_hash as "previousHash"
    from api_key where key_id = ${keyId}`;
  return row;
}

/** A page of keys, by id. */
export function selectKeys(
  sql: Queryable,
  page: { afterId: string; showRevoked: boolean; limit: number },
): Promise<ApiKey[]> {
  return sql<ApiKey[]>`select ${columns(sql)} from api_key
    where key_id > ${page.afterId} and (${page.showRevoked} or revoked_at is null) order by key_id limit ${page.limit}`;
}

/** How many platform keys there are; 0 only on a new database. */
export async function countPlatformKeys(sql: Queryable): Promise<number> {
  const [row] = await sql<{ n: number }[]>`select count(*)::int as n from api_key where scope = 'platform'`;
  return row?.n ?? 0;
}

/** Inserts a key. */
export async function insertKey(sql: Queryable, key: ApiKey, secretHash: Uint8Array): Promise<void> {
  await sql`insert into api_key (key_id, display_name, role, scope, tenant_uid, integrator_uid, secret_hash,
      expires_at, created_at, revision)
    values (${key.keyId}, ${key.displayName}, ${key.role}, ${key.scope}, ${key.tenantUid}, ${key.integratorUid},
      ${secretHash}, ${key.expiresAt}, ${key.createdAt}, ${key.revision})`;
}

/** Gives a key a new secret; the one in force works on until `previousExpiresAt`. */
export async function rotateKey(
  sql: Queryable,
  keyId: string,
  hash: Uint8Array,
  previousExpiresAt: number,
): Promise<void> {
  await sql`update api_key set previous_hash = secret_hash, previous_expires_at = ${previousExpiresAt},
    secret_hash = ${hash}, revision = revision + 1 where key_id = ${keyId}`;
}

/** Ends a key. */
export async function revokeKey(sql: Queryable, keyId: string, at: number): Promise<void> {
  await sql`update api_key set revoked_at = ${at}, revision = revision + 1 where key_id = ${keyId}`;
}

/** Remembers when keys were last used. */
export async function touchKeys(sql: Queryable, keyIds: readonly string[], at: number): Promise<void> {
  await sql`update api_key set last_used_at = ${at} where key_id = any(${[...keyIds]})`;
}

/** Facts that all nodes share: the database's id and the keys of tokens. */
export async function selectSecrets(sql: Queryable): Promise<Map<string, Uint8Array>> {
  const rows = await sql<{ name: string; value: Uint8Array }[]>`select name, value from node_secret`;
  return new Map(rows.map((row) => [row.name, row.value]));
}

function columns(sql: Queryable) {
  return sql`key_id as "keyId", display_name as "displayName", role, scope, tenant_uid as "tenantUid",
    integrator_uid as "integratorUid", expires_at as "expiresAt", previous_expires_at as "previousExpiresAt",
    created_at as "createdAt", revoked_at as "revokedAt", last_used_at as "lastUsedAt", revision`;
}
