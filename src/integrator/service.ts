import { requireEtag } from "../aip/name.ts";
import { cutPage, decodePageToken, encodePageToken, pageSize, type Seal } from "../aip/page.ts";
import { type Ctx, rowScope } from "../context.ts";
import { alreadyExists, notFound } from "../errors.ts";
import { type MutationDeps, mutate, remainingMs, throwDependents } from "../mutation.ts";
import { type Queryable, readAs } from "../platform/postgres.ts";
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

/** Creates an integrator. Throws RESOURCE_EXISTS. */
export async function createIntegrator(deps: IntegratorDeps, ctx: Ctx, integratorId: string, displayName: string) {
  const { value } = await mutate(deps, ctx, name(integratorId), async ({ tx, now, record }) => {
    if (await selectIntegrator(tx, integratorId)) throw alreadyExists("Integrator", name(integratorId));
    const uid = deps.ids.uuid();
    const integrator = { uid, integratorId, displayName, revision: 1, createdAt: now, updatedAt: now };
    await insertIntegrator(tx, integrator);
    await record({ ...noun(integrator), before: null, after: integrator });
    return integrator;
  });
  return value;
}

/** Reads an integrator. Throws RESOURCE_NOT_FOUND. */
export function getIntegrator(deps: IntegratorDeps, ctx: Ctx, integratorId: string): Promise<Integrator> {
  return readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), (tx) =>
    requireIntegrator(tx, integratorId),
  );
}

/** Lists the integrators that the caller may see, by id. */
export async function listIntegrators(deps: IntegratorDeps, ctx: Ctx, page: { pageSize: number; pageToken: string }) {
  const size = pageSize(page.pageSize);
  const query = [ctx.method];
  const [after = ""] = decodePageToken(deps.seal, query, page.pageToken, deps.clock.now()) ?? [];
  const rows = await readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), (tx) =>
    selectIntegrators(tx, String(after), size + 1),
  );
  return cutPage(rows, size, (last) => encodePageToken(deps.seal, query, [last.integratorId], deps.clock.now()));
}

/** Changes an integrator's display name. Throws RESOURCE_NOT_FOUND and ETAG_MISMATCH. */
export async function updateIntegrator(
  deps: IntegratorDeps,
  ctx: Ctx,
  input: { integratorId: string; displayName: string; etag: string },
): Promise<Integrator> {
  const { value } = await mutate(deps, ctx, name(input.integratorId), async ({ tx, now, record }) => {
    const before = await requireIntegrator(tx, input.integratorId);
    requireEtag(input.etag, before.uid, before.revision, name(input.integratorId));
    const after = { ...before, displayName: input.displayName, revision: before.revision + 1, updatedAt: now };
    await updateIntegratorRow(tx, after);
    await record({ ...noun(before), before, after });
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
  await mutate(deps, ctx, name(integratorId), async ({ tx, record }) => {
    const before = await selectIntegrator(tx, integratorId);
    if (!before && allowMissing) return {};
    if (!before) throw notFound("Integrator", name(integratorId));
    requireEtag(etag, before.uid, before.revision, name(integratorId));
    await deleteIntegratorRow(tx, before.uid).catch(throwDependents(name(integratorId)));
    await record({ ...noun(before), before, after: null });
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

function noun(integrator: Integrator) {
  const resource = name(integrator.integratorId);
  return { noun: "integrator" as const, resource, tenantUid: null, integratorUid: integrator.uid, auditView };
}
