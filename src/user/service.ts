import { requireEtag } from "../aip/name.ts";
import { cutPage, decodePageToken, encodePageToken, pageSize, type Seal } from "../aip/page.ts";
import type { Role } from "../auth/permission.ts";
import type { Ctx } from "../context.ts";
import { alreadyExists, notFound } from "../errors.ts";
import { type Mutation, type MutationDeps, mutate, read } from "../mutation.ts";
import type { Queryable } from "../platform/postgres.ts";
import { requireKept, requireTenant } from "../tenant/service.ts";
import { type Tenant, tenantName } from "../tenant/tenant.ts";
import { deleteUserRow, insertUser, selectUser, selectUserByEmail, selectUsers, updateUserRow } from "./store.ts";
import { auditView, type User, userName } from "./user.ts";

export interface UserDeps extends MutationDeps {
  readonly seal: Seal;
  /** Makes sure that one more user finds a seat, within the write that adds it. Throws SEAT_LIMIT_REACHED. */
  readonly takeSeat: (mutation: Mutation, tenant: Tenant) => Promise<void>;
}

/** What a caller decides of a user. */
export interface NewUser {
  readonly email: string;
  readonly displayName: string;
  readonly role: Role;
  readonly disabled: boolean;
}

/** Adds a user to a tenant. Throws RESOURCE_NOT_FOUND, RESOURCE_EXISTS, TENANT_DELETED and SEAT_LIMIT_REACHED. */
export async function createUser(deps: UserDeps, ctx: Ctx, tenantId: string, input: NewUser): Promise<User> {
  const { value } = await mutate(deps, ctx, tenantName(tenantId), async (mutation) =>
    addUser(deps, mutation, await requireTenant(mutation.tx, tenantId), input),
  );
  return value;
}

/** Adds a user within a write under the tenant's root. Throws RESOURCE_EXISTS, TENANT_DELETED and SEAT_LIMIT_REACHED. */
export async function addUser(deps: UserDeps, mutation: Mutation, tenant: Tenant, input: NewUser): Promise<User> {
  requireKept(tenant);
  const name = tenantName(tenant.tenantId);
  if (await selectUserByEmail(mutation.tx, tenant.tenantId, input.email)) {
    throw alreadyExists("User", `a user of this email address in ${name}`);
  }
  if (!input.disabled) await deps.takeSeat(mutation, tenant);
  const user: User = {
    ...input,
    userId: deps.ids.uuid(),
    tenantUid: tenant.uid,
    tenantId: tenant.tenantId,
    revision: 1,
    createdAt: mutation.now,
    updatedAt: mutation.now,
  };
  mutation.send(insertUser(mutation.tx, user));
  mutation.record({ ...noun(user, tenant), before: null, after: user });
  return user;
}

/** Reads a user. Throws RESOURCE_NOT_FOUND. */
export function getUser(deps: UserDeps, ctx: Ctx, tenantId: string, userId: string): Promise<User> {
  return read(deps, ctx, (tx) => requireUser(tx, tenantId, userId));
}

/** Lists a tenant's users by email address. Throws RESOURCE_NOT_FOUND and PAGE_TOKEN_INVALID. */
export async function listUsers(
  deps: UserDeps,
  ctx: Ctx,
  input: { tenantId: string; pageSize: number; pageToken: string },
) {
  const size = pageSize(input.pageSize);
  const query = [ctx.method, input.tenantId];
  const [after = ""] = decodePageToken(deps.seal, query, input.pageToken, deps.clock.now()) ?? [];
  const rows = await read(deps, ctx, async (tx) => {
    const tenant = await requireTenant(tx, input.tenantId);
    return selectUsers(tx, tenant.uid, String(after), size + 1);
  });
  return cutPage(rows, size, (last) => encodePageToken(deps.seal, query, [last.email.toLowerCase()], deps.clock.now()));
}

/** The fields that an update may write, with the ones it does write. */
export type UserPatch = Partial<Omit<NewUser, "email">>;

/** Changes a user. Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH, TENANT_DELETED and SEAT_LIMIT_REACHED. */
export async function updateUser(
  deps: UserDeps,
  ctx: Ctx,
  input: { tenantId: string; userId: string; etag: string; patch: UserPatch },
): Promise<User> {
  const { value } = await mutate(deps, ctx, tenantName(input.tenantId), async (mutation) => {
    const { tx, now, send, record } = mutation;
    const tenant = await requireTenant(tx, input.tenantId);
    const before = await requireUser(tx, input.tenantId, input.userId);
    requireEtag(input.etag, before.userId, before.revision, userName(before));
    requireKept(tenant);
    if (before.disabled && input.patch.disabled === false) await deps.takeSeat(mutation, tenant);
    const after = { ...before, ...input.patch, revision: before.revision + 1, updatedAt: now };
    send(updateUserRow(tx, after));
    record({ ...noun(before, tenant), before, after });
    return after;
  });
  return value;
}

/** Removes a user. Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH and TENANT_DELETED. */
export async function deleteUser(
  deps: UserDeps,
  ctx: Ctx,
  input: { tenantId: string; userId: string; etag: string; allowMissing: boolean },
) {
  await mutate(deps, ctx, tenantName(input.tenantId), async ({ tx, send, record }) => {
    const before = await selectUser(tx, input.tenantId, input.userId);
    if (!before && input.allowMissing) return {};
    if (!before) throw notFound("User", userName(input));
    requireEtag(input.etag, before.userId, before.revision, userName(before));
    const tenant = await requireTenant(tx, input.tenantId);
    requireKept(tenant);
    send(deleteUserRow(tx, before.tenantUid, before.userId));
    record({ ...noun(before, tenant), before, after: null });
    return {};
  });
}

async function requireUser(sql: Queryable, tenantId: string, userId: string): Promise<User> {
  const user = await selectUser(sql, tenantId, userId);
  if (!user) throw notFound("User", userName({ tenantId, userId }));
  return user;
}

function noun(user: User, tenant: Tenant) {
  const { uid, integratorUid } = tenant;
  return { noun: "user" as const, resource: userName(user), tenantUid: uid, integratorUid, auditView };
}
