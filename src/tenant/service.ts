import { parseFilter } from "../aip/filter.ts";
import { requireEtag } from "../aip/name.ts";
import { parseOrderBy } from "../aip/order-by.ts";
import { cutPage, decodePageToken, encodePageToken, pageSize, type Seal } from "../aip/page.ts";
import { allows } from "../auth/permission.ts";
import type { Ctx } from "../context.ts";
import { alreadyExists, DomainError, notFound, permissionDenied } from "../errors.ts";
import { requireIntegrator } from "../integrator/service.ts";
import { type Mutation, type MutationDeps, mutate, read, type Written } from "../mutation.ts";
import { requirePlan } from "../plan/service.ts";
import type { Queryable } from "../platform/postgres.ts";
import { type LifeEvent, mayPurge, step } from "./lifecycle.ts";
import { TENANT_FILTER, TENANT_ORDER } from "./query.ts";
import {
  deleteTenantRow,
  insertTenant,
  insertTransition,
  selectPurgeable,
  selectTenant,
  selectTenants,
  selectTransitions,
  updateTenantRow,
} from "./store.ts";
import { auditView, type LegalHold, type Tenant, type Transition, tenantName } from "./tenant.ts";

export interface TenantDeps extends MutationDeps {
  readonly seal: Seal;
  /** What else a creation writes in its transaction: the first administrator. */
  readonly onCreate: (mutation: Mutation, ctx: Ctx, tenant: Tenant, adminEmail: string) => Promise<void>;
}

/** What a caller decides of a new tenant. */
export interface NewTenant extends Pick<Tenant, "displayName" | "labels" | "region" | "settings" | "timeZone"> {
  readonly tenantId: string;
  readonly integratorId: string | null;
  readonly planId: string;
  readonly planVersion: number;
  readonly activate: boolean;
  readonly adminEmail: string;
}

/** Creates a tenant. Throws RESOURCE_EXISTS, and RESOURCE_NOT_FOUND for its plan or integrator. */
export function createTenant(deps: TenantDeps, ctx: Ctx, input: NewTenant): Promise<Written<Tenant>> {
  return mutate(deps, ctx, tenantName(input.tenantId), async (mutation) => {
    const { tx, now, send, record } = mutation;
    const plan = await requirePlan(tx, input.planId, input.planVersion);
    const integrator = input.integratorId === null ? null : await requireIntegrator(tx, input.integratorId);
    const { activate, adminEmail, planVersion: _, integratorId: __, ...fields } = input;
    const created: Tenant = {
      ...fields,
      uid: deps.ids.uuid(),
      state: "CREATED",
      suspensions: [],
      legalHolds: [],
      priorState: null,
      archivedFrom: null,
      deletedAt: null,
      purgeAt: null,
      integratorUid: integrator?.uid ?? null,
      integratorId: integrator?.integratorId ?? null,
      planUid: plan.uid,
      planVersion: plan.version,
      epoch: 1,
      revision: 1,
      createdAt: now,
      updatedAt: now,
    };
    const life = activate ? step(tenantName(input.tenantId), created, { verb: "activate" }, now) : created;
    const tenant: Tenant = { ...created, ...life, epoch: activate ? 2 : 1 };
    send(insertTenant(tx, tenant).catch(throwTaken(tenant)));
    const entry = { reason: ctx.reason, actor: ctx.principal.actor, at: now };
    const first = {
      ...entry,
      uid: deps.ids.uuid(),
      verb: "create",
      fromState: null,
      toState: "CREATED" as const,
      epoch: 1,
    };
    send(insertTransition(tx, tenant.uid, first));
    if (activate) {
      const second = { verb: "activate", fromState: "CREATED" as const, toState: "ACTIVE" as const, epoch: 2 };
      send(insertTransition(tx, tenant.uid, { ...entry, ...second, uid: deps.ids.uuid() }));
    }
    record({ ...noun(tenant), before: null, after: tenant });
    if (adminEmail !== "") await deps.onCreate(mutation, ctx, tenant, adminEmail);
    return tenant;
  });
}

export interface ListTenantsInput {
  readonly pageSize: number;
  readonly pageToken: string;
  readonly filter: string;
  readonly orderBy: string;
  readonly showDeleted: boolean;
}

/** Lists the tenants that the caller may see. Throws INVALID_FIELDS and PAGE_TOKEN_INVALID. */
export async function listTenants(deps: TenantDeps, ctx: Ctx, input: ListTenantsInput) {
  const size = pageSize(input.pageSize);
  const query = [ctx.method, ctx.principal.actor, input.filter, input.orderBy, input.showDeleted];
  const position = decodePageToken(deps.seal, query, input.pageToken, deps.clock.now());
  const filter = parseFilter(input.filter, TENANT_FILTER);
  const order = parseOrderBy(input.orderBy, TENANT_ORDER, "name");
  const { showDeleted } = input;
  const rows = await read(deps, ctx, (tx) =>
    selectTenants(tx, { filter, order, position, showDeleted, limit: size + 1 }),
  );
  return cutPage(rows, size, (last) => {
    const values: Record<string, string> = {
      name: last.tenantId,
      display_name: last.displayName,
      create_time: new Date(last.createdAt).toISOString(),
      update_time: new Date(last.updatedAt).toISOString(),
    };
    const next = order.map((term) => values[term.path] ?? "");
    return encodePageToken(deps.seal, query, next, deps.clock.now());
  });
}

/** The fields that an update may write, with the ones it does write. */
export interface TenantPatch
  extends Partial<Pick<Tenant, "displayName" | "labels" | "region" | "settings" | "timeZone">> {
  readonly plan?: { readonly planId: string; readonly version: number };
}

/** Writes fields of a tenant. Throws RESOURCE_NOT_FOUND, PERMISSION_DENIED, ETAG_MISMATCH and TENANT_DELETED. */
export function updateTenant(deps: TenantDeps, ctx: Ctx, tenantId: string, etag: string, patch: TenantPatch) {
  // What decides of a tenant's limits, flags and place is not the tenant's own to write.
  const assigns = patch.plan !== undefined || patch.labels !== undefined || patch.region !== undefined;
  const needs = assigns ? ["tenants.assign"] : [];
  return change(deps, ctx, { tenantId, etag, needs }, async (tenant, { tx }) => {
    requireKept(tenant);
    const { plan: moved, ...fields } = patch;
    const plan = moved ? await requirePlan(tx, moved.planId, moved.version) : undefined;
    const link = plan ? { planUid: plan.uid, planId: plan.planId, planVersion: plan.version } : {};
    return { ...tenant, ...fields, ...link };
  });
}

/**
 * Takes a step in a tenant's life. Throws RESOURCE_NOT_FOUND, PERMISSION_DENIED for the reason of a suspension,
 * ETAG_MISMATCH and ILLEGAL_TRANSITION.
 */
export function transitionTenant(deps: TenantDeps, ctx: Ctx, tenantId: string, etag: string, event: LifeEvent) {
  const needs = "reason" in event ? [`suspensions.${event.reason.toLowerCase()}`] : [];
  return change(deps, ctx, { tenantId, etag, needs }, transition(deps, ctx, event));
}

function transition(deps: TenantDeps, ctx: Ctx, event: LifeEvent) {
  return async (tenant: Tenant, { tx, now, send }: Mutation): Promise<Tenant> => {
    const life = step(tenantName(tenant.tenantId), tenant, event, now);
    const entry: Transition = {
      uid: deps.ids.uuid(),
      verb: event.verb,
      fromState: tenant.state,
      toState: life.state,
      reason: ctx.reason,
      actor: ctx.principal.actor,
      epoch: tenant.epoch + 1,
      at: now,
    };
    send(insertTransition(tx, tenant.uid, entry));
    return { ...tenant, ...life, epoch: entry.epoch };
  };
}

/**
 * Deletes a tenant softly. With `allowMissing` one that is deleted already is answered as it is, and one that was never
 * there as undefined. Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH and ILLEGAL_TRANSITION.
 */
export async function deleteTenant(
  deps: TenantDeps,
  ctx: Ctx,
  input: { tenantId: string; etag: string; retentionMs: number; allowMissing: boolean },
): Promise<Written<{ tenant?: Tenant }>> {
  const { tenantId, etag, retentionMs, allowMissing } = input;
  return mutate(deps, ctx, tenantName(tenantId), async (mutation) => {
    const before = await selectTenant(mutation.tx, tenantId);
    if (!before && allowMissing) return {};
    if (before?.state === "DELETED" && allowMissing) return { tenant: before };
    const event = { verb: "delete", retentionMs } as const;
    return { tenant: await changeWithin(mutation, ctx, { tenantId, etag }, transition(deps, ctx, event)) };
  });
}

/** Places a legal hold. Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH and RESOURCE_EXISTS. */
export function placeLegalHold(deps: TenantDeps, ctx: Ctx, tenantId: string, etag: string, holdId: string) {
  return change(deps, ctx, { tenantId, etag }, async (tenant, { now }) => {
    const name = `${tenantName(tenantId)} legal hold ${holdId}`;
    if (tenant.legalHolds.some((hold) => hold.holdId === holdId)) throw alreadyExists("LegalHold", name);
    const hold: LegalHold = { holdId, reason: ctx.reason, actor: ctx.principal.actor, placedAt: now };
    return { ...tenant, legalHolds: [...tenant.legalHolds, hold] };
  });
}

/** Releases a legal hold. Throws RESOURCE_NOT_FOUND and ETAG_MISMATCH. */
export function releaseLegalHold(deps: TenantDeps, ctx: Ctx, tenantId: string, etag: string, holdId: string) {
  return change(deps, ctx, { tenantId, etag }, async (tenant) => {
    const legalHolds = tenant.legalHolds.filter((hold) => hold.holdId !== holdId);
    if (legalHolds.length === tenant.legalHolds.length) {
      throw notFound("LegalHold", `${tenantName(tenantId)} legal hold ${holdId}`);
    }
    return { ...tenant, legalHolds };
  });
}

/** Lists a tenant's history, newest first. Throws RESOURCE_NOT_FOUND and PAGE_TOKEN_INVALID. */
export async function listTransitions(
  deps: TenantDeps,
  ctx: Ctx,
  input: { tenantId: string; pageSize: number; pageToken: string },
) {
  const size = pageSize(input.pageSize);
  const query = [ctx.method, input.tenantId];
  const [below] = decodePageToken(deps.seal, query, input.pageToken, deps.clock.now()) ?? [];
  const rows = await read(deps, ctx, async (tx) => {
    const tenant = await requireTenant(tx, input.tenantId);
    return selectTransitions(tx, tenant.uid, Number(below ?? Number.MAX_SAFE_INTEGER), size + 1);
  });
  return cutPage(rows, size, (last) => encodePageToken(deps.seal, query, [last.epoch], deps.clock.now()));
}

/** Purges the tenants whose time has come, at most `limit`; answers how many. Safe to run on several nodes at once. */
export async function purgeDueTenants(deps: TenantDeps, ctx: Ctx, limit: number): Promise<number> {
  const ids = await read(deps, ctx, (tx) => selectPurgeable(tx, deps.clock.now(), limit));
  let purged = 0;
  for (const tenantId of ids) {
    const { value } = await mutate(deps, ctx, tenantName(tenantId), async ({ tx, now, send, record }) => {
      const tenant = await selectTenant(tx, tenantId);
      if (!tenant || !mayPurge(tenant, now)) return { purged: 0 };
      send(deleteTenantRow(tx, tenant.uid));
      record({ ...noun(tenant), before: tenant, after: null });
      return { purged: 1 };
    });
    purged += value.purged;
  }
  return purged;
}

/** One tenant by id. Throws RESOURCE_NOT_FOUND. */
export async function requireTenant(sql: Queryable, tenantId: string): Promise<Tenant> {
  const tenant = await selectTenant(sql, tenantId);
  if (!tenant) throw notFound("Tenant", tenantName(tenantId));
  return tenant;
}

/** Throws TENANT_DELETED: what belongs to a deleted tenant stays as it is, so that undelete brings back what was there. */
export function requireKept(tenant: Tenant): void {
  const name = tenantName(tenant.tenantId);
  if (tenant.state === "DELETED") {
    throw new DomainError("TENANT_DELETED", `${name} is deleted; undelete it first`, { tenant: name });
  }
}

/** Which tenant, in which state, and what the caller must be allowed to do beyond what the RPC asks for. */
interface Aim {
  readonly tenantId: string;
  readonly etag: string;
  readonly needs?: readonly string[];
}

type Next = (tenant: Tenant, mutation: Mutation) => Promise<Tenant>;

function change(deps: TenantDeps, ctx: Ctx, aim: Aim, next: Next): Promise<Written<Tenant>> {
  return mutate(deps, ctx, tenantName(aim.tenantId), (mutation) => changeWithin(mutation, ctx, aim, next));
}

async function changeWithin(mutation: Mutation, ctx: Ctx, aim: Aim, next: Next): Promise<Tenant> {
  const { tenantId, etag, needs = [] } = aim;
  const before = await requireTenant(mutation.tx, tenantId);
  const target = { kind: "tenant", tenantId, integratorId: before.integratorId ?? undefined } as const;
  const lacking = needs.find((permission) => !allows(ctx.principal, permission, target));
  if (lacking !== undefined) throw permissionDenied(lacking, tenantName(tenantId));
  requireEtag(etag, before.uid, before.revision, tenantName(tenantId));
  const changed = await next(before, mutation);
  const after = { ...changed, revision: before.revision + 1, updatedAt: mutation.now };
  mutation.send(updateTenantRow(mutation.tx, after));
  mutation.record({ ...noun(before), before, after });
  return after;
}

function throwTaken(tenant: Tenant): (error: unknown) => never {
  return (error) => {
    if ((error as { code?: string }).code !== "23505") throw error;
    throw alreadyExists("Tenant", tenantName(tenant.tenantId));
  };
}

function noun(tenant: Tenant) {
  const resource = tenantName(tenant.tenantId);
  return { noun: "tenant" as const, resource, tenantUid: tenant.uid, integratorUid: tenant.integratorUid, auditView };
}
