import { requireEtag } from "../aip/name.ts";
import { cutPage, decodePageToken, encodePageToken, pageSize, type Seal } from "../aip/page.ts";
import type { Ctx } from "../context.ts";
import { alreadyExists, notFound } from "../errors.ts";
import { requireMeters } from "../meter/service.ts";
import { type MutationDeps, mutate, read, throwDependents } from "../mutation.ts";
import type { Queryable } from "../platform/postgres.ts";
import { auditView, type Plan } from "./plan.ts";
import { addPlanVersion, deletePlanRow, insertPlan, selectPlan, selectPlans } from "./store.ts";

export interface PlanDeps extends MutationDeps {
  readonly seal: Seal;
}

/** What a caller decides of a plan. */
export type PlanInput = Pick<Plan, "displayName" | "limits" | "entitlements" | "settings">;

/** Creates a plan with version 1. Throws RESOURCE_EXISTS, and INVALID_FIELDS for limits that fit no meter. */
export async function createPlan(deps: PlanDeps, ctx: Ctx, planId: string, input: PlanInput): Promise<Plan> {
  const { value } = await mutate(deps, ctx, `plans/${planId}`, async ({ tx, now, send, record }) => {
    if (await selectPlan(tx, planId, 0)) throw alreadyExists("Plan", `plans/${planId}`);
    await requireMeters(tx, input.limits, limitField);
    const plan = { ...input, uid: deps.ids.uuid(), planId, version: 1, revision: 1, createdAt: now, updatedAt: now };
    send(insertPlan(tx, plan));
    record({ ...noun(planId), before: null, after: plan });
    return plan;
  });
  return value;
}

/** Reads a plan in a version, the newest when 0. Throws RESOURCE_NOT_FOUND. */
export async function getPlan(deps: PlanDeps, ctx: Ctx, planId: string, version: number): Promise<Plan> {
  return read(deps, ctx, (tx) => requirePlan(tx, planId, version));
}

/** Lists plans in their newest version, by id. */
export async function listPlans(deps: PlanDeps, ctx: Ctx, page: { pageSize: number; pageToken: string }) {
  const size = pageSize(page.pageSize);
  const query = [ctx.method];
  const [after = ""] = decodePageToken(deps.seal, query, page.pageToken, deps.clock.now()) ?? [];
  const rows = await read(deps, ctx, (tx) => selectPlans(tx, String(after), size + 1));
  return cutPage(rows, size, (last) => encodePageToken(deps.seal, query, [last.planId], deps.clock.now()));
}

/**
 * Adds a version to a plan, the newest with some fields changed; tenants stay on theirs. Throws RESOURCE_NOT_FOUND,
 * ETAG_MISMATCH, and INVALID_FIELDS for limits that fit no meter.
 */
export async function updatePlan(
  deps: PlanDeps,
  ctx: Ctx,
  planId: string,
  etag: string,
  patch: Partial<PlanInput>,
): Promise<Plan> {
  const { value } = await mutate(deps, ctx, `plans/${planId}`, async ({ tx, now, send, record }) => {
    const before = await requirePlan(tx, planId, 0);
    requireEtag(etag, before.uid, before.revision, `plans/${planId}`);
    if (patch.limits) await requireMeters(tx, patch.limits, limitField);
    const plan = { ...before, ...patch, version: before.version + 1, revision: before.revision + 1, updatedAt: now };
    send(addPlanVersion(tx, plan));
    record({ ...noun(planId), before, after: plan });
    return plan;
  });
  return value;
}

/** Deletes a plan that no tenant uses. Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH and HAS_DEPENDENTS. */
export async function deletePlan(
  deps: PlanDeps,
  ctx: Ctx,
  { planId, etag, allowMissing }: { planId: string; etag: string; allowMissing: boolean },
): Promise<void> {
  await mutate(deps, ctx, `plans/${planId}`, async ({ tx, send, record }) => {
    const before = await selectPlan(tx, planId, 0);
    if (!before && allowMissing) return {};
    if (!before) throw notFound("Plan", `plans/${planId}`);
    requireEtag(etag, before.uid, before.revision, `plans/${planId}`);
    send(deletePlanRow(tx, before.uid).catch(throwDependents(`plans/${planId}`)));
    record({ ...noun(planId), before, after: null });
    return {};
  });
}

/** One plan in a version, the newest when 0. Throws RESOURCE_NOT_FOUND. */
export async function requirePlan(sql: Queryable, planId: string, version: number): Promise<Plan> {
  const plan = await selectPlan(sql, planId, version);
  if (!plan) throw notFound("Plan", version === 0 ? `plans/${planId}` : `plans/${planId} version ${version}`);
  return plan;
}

function limitField(index: number): string {
  return `plan.limits[${index}]`;
}

function noun(planId: string) {
  return { noun: "plan" as const, resource: `plans/${planId}`, tenantUid: null, integratorUid: null, auditView };
}
