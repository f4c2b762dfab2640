import type { Queryable } from "../platform/postgres.ts";
import type { User } from "./user.ts";

/** One user of a tenant, or undefined. */
export async function selectUser(sql: Queryable, tenantId: string, userId: string): Promise<User | undefined> {
  const [row] = await sql<User[]>`${columns(sql)} where t.tenant_id = ${tenantId} and u.user_id = ${userId}`;
  return row;
}

/** One user of a tenant by email address regardless of case, or undefined. */
export async function selectUserByEmail(sql: Queryable, tenantId: string, email: string): Promise<User | undefined> {
  const key = email.toLowerCase();
  const [row] = await sql<User[]>`${columns(sql)} where t.tenant_id = ${tenantId} and u.email_key = ${key}`;
  return row;
}

/** A page of a tenant's users, by email address. */
export function selectUsers(sql: Queryable, tenantUid: string, afterEmail: string, limit: number): Promise<User[]> {
  return sql<User[]>`${columns(sql)}
    where u.tenant_uid = ${tenantUid} and u.email_key > ${afterEmail} order by u.email_key limit ${limit}`;
}

/** Inserts a user; a taken email address shows as a unique violation. */
export async function insertUser(sql: Queryable, user: User): Promise<void> {
  await sql`insert into tenant_user
      (tenant_uid, user_id, email, email_key, display_name, role, disabled, revision, created_at, updated_at)
    values (${user.tenantUid}, ${user.userId}, ${user.email}, ${user.email.toLowerCase()}, ${user.displayName},
      ${user.role}, ${user.disabled}, ${user.revision}, ${user.createdAt}, ${user.updatedAt})`;
}

/** Writes what can change of a user. */
export async function updateUserRow(sql: Queryable, user: User): Promise<void> {
  await sql`update tenant_user set display_name = ${user.displayName}, role = ${user.role}, disabled = ${user.disabled},
      revision = ${user.revision}, updated_at = ${user.updatedAt}
    where tenant_uid = ${user.tenantUid} and user_id = ${user.userId}`;
}

/** Removes a user. */
export async function deleteUserRow(sql: Queryable, tenantUid: string, userId: string): Promise<void> {
  await sql`delete from tenant_user where tenant_uid = ${tenantUid} and user_id = ${userId}`;
}

function columns(sql: Queryable) {
  return sql`select u.user_id as "userId", u.tenant_uid as "tenantUid", t.tenant_id as "tenantId", u.email,
      u.display_name as "displayName", u.role, u.disabled, u.revision, u.created_at as "createdAt",
      u.updated_at as "updatedAt"
    from tenant_user u join tenant t on t.uid = u.tenant_uid`;
}
