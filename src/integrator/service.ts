import { diffFields } from "../aip/field-mask.ts";
import { requireEtag } from "../aip/name.ts";
import { cutPage, decodePageToken, encodePageToken, pageSize, type Seal } from "../aip/page.ts";
import { allows } from "../auth/permission.ts";
import type { Ctx } from "../context.ts";
import { alreadyExists, notFound, permissionDenied } from "../errors.ts";
import { requireMeters } from "../meter/service.ts";
import { type MutationDeps, mutate, read, throwDependents } from "../mutation.ts";
import type { Queryable } from "../platform/postgres.ts";
import { auditView, type Integrator } from "./integrator.ts";
import {
  deleteIntegratorRow,
  insertIntegrator,
  selectIntegrator,
  selectIntegrators,
  updateIntegratorRow,
} from "./store.ts";

export interface IntegratorDeps extends MutationDeps {
  readonly seal: Seal;
}

/** What a caller decides of an integrator. */
export type IntegratorInput = Pick<Integrator, "displayName" | "limits">;

/** Creates an integrator. Throws RESOURCE_EXISTS, and INVALID_FIELDS for limits that fit no meter. */
export async function createIntegrator(deps: IntegratorDeps, ctx: Ctx, integratorId: string, input: IntegratorInput) {
  const { value } = await mutate(deps, ctx, name(integratorId), async ({ tx, now, send, record }) => {
    if (await selectIntegrator(tx, integratorId)) throw alreadyExists("Integrator", name(integratorId));
    await requireMeters(tx, input.limits, limitField);
    const integrator = { ...input, uid: deps.ids.uuid(), integratorId, revision: 1, createdAt: now, updatedAt: now };
    send(insertIntegrator(tx, integrator));
    record({ ...noun(integrator), before: null, after: integrator });
    return integrator;
  });
  return value;
}

/** Reads an integrator. Throws RESOURCE_NOT_FOUND. */
export function getIntegrator(deps: IntegratorDeps, ctx: Ctx, integratorId: string): Promise<Integrator> {
  return read(deps, ctx, (tx) => requireIntegrator(tx, integratorId));
}

/** Lists the integrators that the caller may see, by id. */
export async function listIntegrators(deps: IntegratorDeps, ctx: Ctx, page: { pageSize: number; pageToken: string }) {
  const size = pageSize(page.pageSize);
  const query = [ctx.method];
  const [after = ""] = decodePageToken(deps.seal, query, page.pageToken, deps.clock.now()) ?? [];
  const rows = await read(deps, ctx, (tx) => selectIntegrators(tx, String(after), size + 1));
  return cutPage(rows, size, (last) => encodePageToken(deps.seal, query, [last.integratorId], deps.clock.now()));
}

/**
 * Changes an integrator. It may not raise its own limits: they are the platform's to write.
 * Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH, PERMISSION_DENIED and INVALID_FIELDS.
 */
export async function updateIntegrator(
  deps: IntegratorDeps,
  ctx: Ctx,
  input: { integratorId: string; etag: string; patch: Partial<IntegratorInput> },
): Promise<Integrator> {
  const { value } = await mutate(deps, ctx, name(input.integratorId), async ({ tx, now, send, record }) => {
    const before = await requireIntegrator(tx, input.integratorId);
    requireEtag(input.etag, before.uid, before.revision, name(input.integratorId));
    const after = { ...before, ...input.patch, revision: before.revision + 1, updatedAt: now };
    if (diffFields({ limits: before.limits }, { limits: after.limits }).length > 0) {
      const permission = "integrators.setLimits";
      if (!allows(ctx.principal, permission, { kind: "platform" })) throw permissionDenied(permission, "the platform");
      await requireMeters(tx, after.limits, limitField);
    }
    send(updateIntegratorRow(tx, after));
    record({ ...noun(before), before, after });
    return after;
  });
  return value;
}

/** Deletes an integrator without tenants. Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH and HAS_DEPENDENTS. */
export async function deleteIntegrator(
  deps: IntegratorDeps,
  ctx: Ctx,
  { integratorId, etag, allowMissing }: { integratorId: string; etag: string; allowMissing: boolean },
) {
  await mutate(deps, ctx, name(integratorId), async ({ tx, send, record }) => {
    const before = await selectIntegrator(tx, integratorId);
    if (!before && allowMissing) return {};
    if (!before) throw notFound("Integrator", name(integratorId));
    requireEtag(etag, before.uid, before.revision, name(integratorId));
    send(deleteIntegratorRow(tx, before.uid).catch(throwDependents(name(integratorId))));
    record({ ...noun(before), before, after: null });
    return {};
  });
}

/** One integrator by id. Throws RESOURCE_NOT_FOUND. */
export async function requireIntegrator(sql: Queryable, integratorId: string): Promise<Integrator> {
  const integrator = await selectIntegrator(sql, integratorId);
  if (!integrator) throw notFound("Integrator", name(integratorId));
  return integrator;
}

function name(integratorId: string): string {
  return `integrators/${integratorId}`;
}

function limitField(index: number): string {
  return `integrator.limits[${index}]`;
}

function noun(integrator: Integrator) {
  const resource = name(integrator.integratorId);
  return { noun: "integrator" as const, resource, tenantUid: null, integratorUid: integrator.uid, auditView };
}
