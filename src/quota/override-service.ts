import { requireEtag } from "../aip/name.ts";
import { cutPage, decodePageToken, encodePageToken, pageSize, type Seal } from "../aip/page.ts";
import { type Ctx, rowScope } from "../context.ts";
import { alreadyExists, invalidField, notFound } from "../errors.ts";
import type { Limit } from "../limit.ts";
import { requireMeters } from "../meter/service.ts";
import { type Mutation, type MutationDeps, mutate, remainingMs } from "../mutation.ts";
import { readAs, type Tx } from "../platform/postgres.ts";
import { requireKept, requireTenant } from "../tenant/service.ts";
import { type Tenant, tenantName } from "../tenant/tenant.ts";
import { selectFacts } from "./facts-store.ts";
import { auditView, inForce, overrideName, type QuotaOverride } from "./override.ts";
import {
  deleteOverrideRow,
  insertOverride,
  selectDueOverrides,
  selectOpenOverrides,
  selectOverride,
  selectOverrides,
  updateOverrideRow,
} from "./override-store.ts";

export interface OverrideDeps extends MutationDeps {
  readonly seal: Seal;
}

/** Names an override. */
export interface OverrideRef {
  readonly tenantId: string;
  readonly overrideId: string;
}

/** What a caller decides of an override. */
export type OverrideInput = Pick<QuotaOverride, "limit" | "reason" | "expiresAt">;

/** Every node keeps them in memory: more exceptions than these for one tenant are a plan of its own. */
const OVERRIDES_MAX = 200;

/** Changes a limit for one tenant. Throws RESOURCE_NOT_FOUND, RESOURCE_EXISTS, TENANT_DELETED and INVALID_FIELDS. */
export async function createOverride(deps: OverrideDeps, ctx: Ctx, ref: OverrideRef, input: OverrideInput) {
  const { value } = await mutate(deps, ctx, tenantName(ref.tenantId), async (mutation) => {
    const { tx, now, record } = mutation;
    const tenant = await requireTenant(tx, ref.tenantId);
    requireKept(tenant);
    if (await selectOverride(tx, tenant.uid, ref.overrideId)) throw alreadyExists("QuotaOverride", overrideName(ref));
    const open = await selectOpenOverrides(tx, tenant.uid);
    if (open.length >= OVERRIDES_MAX) {
      throw invalidField("parent", `has ${OVERRIDES_MAX} overrides in force: delete some, or make a plan of them`);
    }
    await requireFit(tx, tenant, input.limit);
    requireFuture(input.expiresAt, now);
    const override: QuotaOverride = {
      ...input,
      ...ref,
      uid: deps.ids.uuid(),
      tenantUid: tenant.uid,
      creator: ctx.principal.actor,
      ended: false,
      revision: 1,
      createdAt: now,
      updatedAt: now,
    };
    await insertOverride(tx, override);
    record({ ...noun(override, tenant), before: null, after: override });
    return override;
  });
  return value;
}

/** Reads an override. Throws RESOURCE_NOT_FOUND. */
export function getOverride(deps: OverrideDeps, ctx: Ctx, ref: OverrideRef): Promise<QuotaOverride> {
  return readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), async (tx) => {
    const tenant = await requireTenant(tx, ref.tenantId);
    return requireOverride(tx, tenant, ref);
  });
}

/** Lists a tenant's overrides, by id. Throws RESOURCE_NOT_FOUND and PAGE_TOKEN_INVALID. */
export async function listOverrides(
  deps: OverrideDeps,
  ctx: Ctx,
  input: { tenantId: string; pageSize: number; pageToken: string; showEnded: boolean },
) {
  const { tenantId, showEnded } = input;
  const size = pageSize(input.pageSize);
  const query = [ctx.method, tenantId, showEnded];
  const now = deps.clock.now();
  const [after = ""] = decodePageToken(deps.seal, query, input.pageToken, now) ?? [];
  const rows = await readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), async (tx) => {
    const { uid } = await requireTenant(tx, tenantId);
    return selectOverrides(tx, { tenantUid: uid, afterId: String(after), showEnded, now, limit: size + 1 });
  });
  return cutPage(rows, size, (last) => encodePageToken(deps.seal, query, [last.overrideId], now));
}

/** Changes an override in force. Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH, TENANT_DELETED and INVALID_FIELDS. */
export async function updateOverride(
  deps: OverrideDeps,
  ctx: Ctx,
  { etag, patch, ...ref }: OverrideRef & { etag: string; patch: Partial<OverrideInput> },
): Promise<QuotaOverride> {
  return change(deps, ctx, ref, etag, async (before, tenant, { tx, now }) => {
    if (!inForce(before, now)) throw invalidField("quota_override.name", "has ended: create another one");
    const after = { ...before, ...patch };
    if (after.limit.limitId !== before.limit.limitId) {
      throw invalidField("quota_override.limit.limit_id", "is fixed at creation");
    }
    if (patch.limit) await requireFit(tx, tenant, patch.limit);
    if (patch.expiresAt !== undefined) requireFuture(patch.expiresAt, now);
    return after;
  });
}

/** Ends an override. Throws RESOURCE_NOT_FOUND and ETAG_MISMATCH. */
export async function deleteOverride(
  deps: OverrideDeps,
  ctx: Ctx,
  { etag, allowMissing, ...ref }: OverrideRef & { etag: string; allowMissing: boolean },
): Promise<void> {
  await mutate(deps, ctx, tenantName(ref.tenantId), async ({ tx, record }) => {
    const tenant = await requireTenant(tx, ref.tenantId);
    const before = await selectOverride(tx, tenant.uid, ref.overrideId);
    if (!before && allowMissing) return {};
    if (!before) throw notFound("QuotaOverride", overrideName(ref));
    requireEtag(etag, before.uid, before.revision, overrideName(ref));
    await deleteOverrideRow(tx, tenant.uid, ref.overrideId);
    record({ ...noun(before, tenant), before, after: null });
    return {};
  });
}

/** Names of overrides whose time has passed without being on record, at most `limit`, oldest first. */
export function dueOverrides(deps: OverrideDeps, ctx: Ctx, limit: number): Promise<OverrideRef[]> {
  return readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), (tx) =>
    selectDueOverrides(tx, deps.clock.now(), limit),
  );
}

/** Puts on record that an override's time has passed; nodes forget it. Safe to run twice. */
export async function endOverride(deps: OverrideDeps, ctx: Ctx, ref: OverrideRef): Promise<void> {
  await change(deps, ctx, ref, "", async (before, _, { now }) => {
    const over = before.expiresAt !== null && before.expiresAt <= now;
    return over && !before.ended ? { ...before, ended: true } : before;
  });
}

async function change(
  deps: OverrideDeps,
  ctx: Ctx,
  ref: OverrideRef,
  etag: string,
  next: (before: QuotaOverride, tenant: Tenant, mutation: Mutation) => Promise<QuotaOverride>,
): Promise<QuotaOverride> {
  const { value } = await mutate(deps, ctx, tenantName(ref.tenantId), async (mutation) => {
    const { tx, now, record } = mutation;
    const tenant = await requireTenant(tx, ref.tenantId);
    const before = await requireOverride(tx, tenant, ref);
    requireEtag(etag, before.uid, before.revision, overrideName(ref));
    const changed = await next(before, tenant, mutation);
    if (changed === before) return before;
    const after = { ...changed, revision: before.revision + 1, updatedAt: now };
    await updateOverrideRow(tx, after);
    record({ ...noun(before, tenant), before, after });
    return after;
  });
  return value;
}

async function requireOverride(tx: Tx, tenant: Tenant, ref: OverrideRef): Promise<QuotaOverride> {
  const override = await selectOverride(tx, tenant.uid, ref.overrideId);
  if (!override) throw notFound("QuotaOverride", overrideName(ref));
  return override;
}

// An override changes how much, not what: another meter under the plan's id would be another limit.
async function requireFit(tx: Tx, tenant: Tenant, limit: Limit): Promise<void> {
  await requireMeters(tx, [limit], () => "quota_override.limit");
  const { plan } = await selectFacts(tx, tenant);
  const planned = plan.limits.find(({ limitId }) => limitId === limit.limitId);
  if (planned && planned.meter !== limit.meter) {
    throw invalidField("quota_override.limit.meter", `must be "${planned.meter}", as in the plan`);
  }
}

function requireFuture(expiresAt: number | null, now: number): void {
  if (expiresAt !== null && expiresAt <= now) throw invalidField("quota_override.expire_time", "must be in the future");
}

function noun(override: QuotaOverride, { uid, integratorUid }: Tenant) {
  const resource = overrideName(override);
  return { noun: "quotaOverride" as const, resource, tenantUid: uid, integratorUid, auditView };
}
