import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  AccessService,
  type ApiKeySchema,
  type ApiKey as ProtoKey,
} from "@tenantplane/sdk/gen/tenantplane/v1/access_pb";
import { checkText, etagOf, parseId } from "../aip/name.ts";
import type { ApiKey } from "../auth/key.ts";
import { allows, isRoleFor, type Principal, type Role, type Target } from "../auth/permission.ts";
import {
  type AuthDeps,
  createApiKey,
  getApiKey,
  listApiKeys,
  type NewKey,
  revokeApiKey,
  rotateApiKey,
} from "../auth/service.ts";
import { invalidField, Problems } from "../errors.ts";
import { durationMs, fromTimestamp, optionalTimestamp, toTimestamp } from "./convert.ts";
import { type Mount, mount } from "./handlers.ts";
import { resolveScope, type ScopeDeps } from "./scope.ts";

export interface AccessRpcDeps extends AuthDeps, ScopeDeps {}

/** The handlers of AccessService. They stand here, above all domains, because keys are bound to tenants and integrators. */
export function accessRpc(deps: AccessRpcDeps): Mount {
  const id = (name: string) => parseId(name, "apiKeys", "name");
  return mount(AccessService, {
    createApiKey: async ({ apiKey }, ctx) => {
      const { key, secret } = await createApiKey(deps, ctx, await parseKey(deps, ctx.principal, apiKey));
      return { apiKey: toApiKey(key), secret };
    },
    getApiKey: async ({ name }, ctx) => ({ apiKey: toApiKey(await getApiKey(deps, ctx, id(name))) }),
    listApiKeys: async (request, ctx) => {
      const { items, token } = await listApiKeys(deps, ctx, request);
      return { apiKeys: items.map(toApiKey), nextPageToken: token };
    },
    rotateApiKey: async ({ name, overlap, etag }, ctx) => {
      const problems = new Problems();
      const overlapMs = durationMs(problems, "overlap", overlap, { fallback: HOUR_MS, min: 0, max: 30 * 24 * HOUR_MS });
      problems.throwIfAny();
      const { key, secret } = await rotateApiKey(deps, ctx, { keyId: id(name), etag, overlapMs });
      return { apiKey: toApiKey(key), secret };
    },
    revokeApiKey: async ({ name, etag }, ctx) => ({ apiKey: toApiKey(await revokeApiKey(deps, ctx, id(name), etag)) }),
    testPermissions: async ({ resource, permissions }, ctx) => {
      if (permissions.length > PERMISSIONS_MAX) throw invalidField("permissions", `must be at most ${PERMISSIONS_MAX}`);
      const target = await parseTarget(deps, resource);
      return { permissions: permissions.filter((permission) => allows(ctx.principal, permission, target)) };
    },
  });
}

const HOUR_MS = 3_600_000;
/** There are some forty permissions. */
const PERMISSIONS_MAX = 100;

async function parseTarget(deps: AccessRpcDeps, resource: string): Promise<Target> {
  if (resource === "platform") return { kind: "platform" };
  if (resource.startsWith("integrators/")) {
    return { kind: "integrator", integratorId: parseId(resource, "integrators", "resource") };
  }
  const tenantId = parseId(resource, "tenants", "resource");
  const tenant = await deps.findTenant(tenantId);
  return { kind: "tenant", tenantId, integratorId: tenant?.integratorId ?? undefined };
}

async function parseKey(deps: AccessRpcDeps, principal: Principal, key: ProtoKey | undefined): Promise<NewKey> {
  if (!key) throw invalidField("api_key", "must be set");
  const problems = new Problems();
  checkText(problems, "api_key.display_name", key.displayName, 1, 63);
  const expiresAt = key.expireTime ? fromTimestamp(key.expireTime) : null;
  if (expiresAt !== null && expiresAt <= deps.clock.now()) problems.add("api_key.expire_time", "must be in the future");
  const kind = key.scope.split("/")[0] ?? "";
  const role = key.role;
  const scopeKind = kind === "tenants" ? "tenant" : kind === "integrators" ? "integrator" : "platform";
  if (!isRoleFor(role, scopeKind)) problems.add("api_key.role", `is no role for the scope ${key.scope || "platform"}`);
  problems.throwIfAny();
  const asked = { name: key.scope, field: "api_key.scope", permission: "apiKeys.create" };
  const resolved = await resolveScope(deps, principal, asked);
  return { ...resolved, displayName: key.displayName, role: role as Role, expiresAt };
}

function toApiKey(key: ApiKey): MessageInitShape<typeof ApiKeySchema> {
  return {
    name: `apiKeys/${key.keyId}`,
    displayName: key.displayName,
    role: key.role,
    scope: key.scope,
    etag: etagOf(key.keyId, key.revision),
    createTime: toTimestamp(key.createdAt),
    ...optionalTimestamp("expireTime", key.expiresAt),
    ...optionalTimestamp("lastUsedTime", key.lastUsedAt),
    ...optionalTimestamp("revokeTime", key.revokedAt),
    ...optionalTimestamp("previousExpireTime", key.previousExpiresAt),
  };
}
