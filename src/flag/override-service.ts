import type { RegexCompiler } from "@tenantplane/sdk/evaluate";
import { requireEtag } from "../aip/name.ts";
import { cutPage, decodePageToken, encodePageToken, pageSize } from "../aip/page.ts";
import { allows } from "../auth/permission.ts";
import type { Ctx } from "../context.ts";
import { alreadyExists, DomainError, invalidField, notFound } from "../errors.ts";
import { type Mutation, mutate, type Written } from "../mutation.ts";
import type { Queryable } from "../platform/postgres.ts";
import { requireTenant } from "../tenant/service.ts";
import { type Tenant, tenantName } from "../tenant/tenant.ts";
import { viewOverride } from "./audit-view.ts";
import { FLAGS_ROOT, type FlagDeps, type PageInput, readFor, requireFlag } from "./base-service.ts";
import { checkOverride } from "./check-service.ts";
import { type Override, overrideName } from "./flag.ts";
import {
  deleteOverrideRow,
  insertOverride,
  selectExpiredOverrides,
  selectOverride,
  selectOverrides,
  updateOverrideRow,
} from "./override-store.ts";

/** Whose override of what. */
export interface OverrideId {
  readonly tenantId: string;
  readonly flagKey: string;
}

/** What a caller decides of an override; of what it serves only the form is known. */
export interface OverrideInput extends Pick<Override, "reason" | "expiresAt"> {
  readonly serve: unknown;
}

/**
 * Overrides a flag for a tenant. Throws RESOURCE_NOT_FOUND, also for a flag that the caller may not override, RESOURCE_EXISTS,
 * TENANT_DELETED and INVALID_FIELDS.
 */
export function createOverride(
  deps: FlagDeps,
  ctx: Ctx,
  id: OverrideId,
  input: OverrideInput,
): Promise<Written<Override>> {
  return mutate(deps, ctx, FLAGS_ROOT, async ({ tx, now, record }) => {
    const tenant = await requireTenant(tx, id.tenantId);
    const flag = await requireFlag(tx, id.flagKey);
    if (await selectOverride(tx, id.tenantId, id.flagKey)) throw alreadyExists("FlagOverride", nameOf(id));
    const override: Override = {
      ...id,
      tenantUid: tenant.uid,
      flagUid: flag.uid,
      serve: await checkServe(deps.regex, tx, ctx, id, input.serve),
      reason: input.reason,
      writer: ctx.principal.actor,
      expiresAt: laterThan(now, input.expiresAt),
      revision: 1,
      createdAt: now,
      updatedAt: now,
    };
    refuseDeleted(tenant);
    await insertOverride(tx, override);
    await record({ ...noun(override, tenant), before: null, after: override });
    return override;
  });
}

/** Reads an override. Throws RESOURCE_NOT_FOUND. */
export function getOverride(deps: FlagDeps, ctx: Ctx, id: OverrideId): Promise<Override> {
  return readFor(deps, ctx, (tx) => requireOverride(tx, id));
}

/** Lists the overrides that the caller may see, by tenant and flag. Throws PAGE_TOKEN_INVALID. */
export async function listOverrides(
  deps: FlagDeps,
  ctx: Ctx,
  input: PageInput & { readonly tenantId: string | undefined; readonly flagKey: string | undefined },
) {
  const size = pageSize(input.pageSize);
  const { tenantId, flagKey } = input;
  const query = [ctx.method, ctx.principal.actor, tenantId ?? "", flagKey ?? ""];
  const [tenant = "", flag = ""] = decodePageToken(deps.seal, query, input.pageToken, deps.clock.now()) ?? [];
  const after = [String(tenant), String(flag)] as const;
  const rows = await readFor(deps, ctx, (tx) => selectOverrides(tx, { tenantId, flagKey, after, limit: size + 1 }));
  return cutPage(rows, size, (last) =>
    encodePageToken(deps.seal, query, [last.tenantId, last.flagKey], deps.clock.now()),
  );
}

/** Writes fields of an override. Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH and INVALID_FIELDS. */
export function updateOverride(deps: FlagDeps, ctx: Ctx, id: OverrideId, etag: string, patch: Partial<OverrideInput>) {
  return mutate<Override>(deps, ctx, FLAGS_ROOT, async ({ tx, now, record }) => {
    const tenant = await requireTenant(tx, id.tenantId);
    const before = await requireOverride(tx, id);
    requireEtag(etag, before.flagUid, before.revision, nameOf(id));
    const { serve = before.serve, reason = before.reason, expiresAt } = patch;
    const after: Override = {
      ...before,
      serve: await checkServe(deps.regex, tx, ctx, id, serve),
      reason,
      writer: ctx.principal.actor,
      expiresAt: expiresAt === undefined ? before.expiresAt : laterThan(now, expiresAt),
      revision: before.revision + 1,
      updatedAt: now,
    };
    await updateOverrideRow(tx, after);
    await record({ ...noun(before, tenant), before, after });
    return after;
  });
}

/** Ends an override. Throws RESOURCE_NOT_FOUND and ETAG_MISMATCH. */
export function deleteOverride(
  deps: FlagDeps,
  ctx: Ctx,
  id: OverrideId,
  options: { readonly etag: string; readonly allowMissing: boolean },
): Promise<Written<object>> {
  return mutate(deps, ctx, FLAGS_ROOT, async (mutation) => {
    const before = await selectOverride(mutation.tx, id.tenantId, id.flagKey);
    if (!before && options.allowMissing) return {};
    if (!before) throw notFound("FlagOverride", nameOf(id));
    requireEtag(options.etag, before.flagUid, before.revision, nameOf(id));
    await remove(mutation, before);
    return {};
  });
}

/** Ends the overrides whose time is over, at most `limit`; answers how many. Safe to run on several nodes at once. */
export async function deleteExpiredOverrides(deps: FlagDeps, ctx: Ctx, limit: number): Promise<number> {
  const due = await readFor(deps, ctx, (tx) => selectExpiredOverrides(tx, deps.clock.now(), limit));
  for (const { tenantId, flagKey } of due) {
    await mutate(deps, ctx, FLAGS_ROOT, async (mutation) => {
      const override = await selectOverride(mutation.tx, tenantId, flagKey);
      if (override && override.expiresAt !== null && override.expiresAt <= mutation.now)
        await remove(mutation, override);
      return {};
    });
  }
  return due.length;
}

async function remove(mutation: Mutation, override: Override): Promise<void> {
  const tenant = await requireTenant(mutation.tx, override.tenantId);
  await deleteOverrideRow(mutation.tx, override);
  await mutation.record({ ...noun(override, tenant), before: override, after: null });
}

// Logic can look at all that a context has and at segments, whose matches are the platform's own business.
async function checkServe(regex: RegexCompiler, tx: Queryable, ctx: Ctx, id: OverrideId, serve: unknown) {
  const isOperator = allows(ctx.principal, "flags.update", { kind: "platform" });
  const hasLogic = typeof serve === "object" && serve !== null && "logic" in serve;
  if (hasLogic && !isOperator)
    throw invalidField("flag_override.serve.logic", "only the platform's operators may use it");
  const definition = { tenant: id.tenantId, flag: id.flagKey, serve };
  return (await checkOverride(tx, regex, { field: "flag_override", definition })).serve;
}

function laterThan(now: number, expiresAt: number | null): number | null {
  if (expiresAt !== null && expiresAt <= now) throw invalidField("flag_override.expire_time", "must be in the future");
  return expiresAt;
}

function refuseDeleted(tenant: Tenant): void {
  if (tenant.state !== "DELETED") return;
  const name = tenantName(tenant.tenantId);
  throw new DomainError("TENANT_DELETED", `${name} is deleted; undelete it first`, { tenant: name });
}

async function requireOverride(sql: Queryable, id: OverrideId): Promise<Override> {
  const override = await selectOverride(sql, id.tenantId, id.flagKey);
  if (!override) throw notFound("FlagOverride", nameOf(id));
  return override;
}

function nameOf({ tenantId, flagKey }: OverrideId): string {
  return overrideName(tenantId, flagKey);
}

function noun(override: OverrideId, { uid, integratorUid }: Tenant) {
  const resource = nameOf(override);
  return { noun: "flagOverride" as const, resource, tenantUid: uid, integratorUid, auditView: viewOverride };
}
