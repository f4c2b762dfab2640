import { requireEtag } from "../aip/name.ts";
import { cutPage, decodePageToken, encodePageToken, pageSize, type Seal } from "../aip/page.ts";
import type { Ctx } from "../context.ts";
import { alreadyExists, DomainError, notFound, Problems } from "../errors.ts";
import type { Limit } from "../limit.ts";
import { type MutationDeps, mutate, read } from "../mutation.ts";
import { type Queryable, shareTurns, type Tx } from "../platform/postgres.ts";
import { auditView, checkMeter, type Meter, meterName, SEATS_METER } from "./meter.ts";
import {
  deleteMeterRow,
  insertMeter,
  selectMeter,
  selectMeters,
  selectMetersById,
  selectMeterUser,
  updateMeterRow,
} from "./store.ts";

export interface MeterDeps extends MutationDeps {
  readonly seal: Seal;
}

/** What a caller decides of a meter for good. */
export type NewMeter = Pick<Meter, "meterId" | "displayName" | "kind" | "unit" | "description" | "eventSource">;
/** What can be changed of a meter. */
export type MeterPatch = Partial<Pick<Meter, "displayName" | "unit" | "description" | "eventSource">>;

/** Creates a meter. Throws RESOURCE_EXISTS. */
export async function createMeter(deps: MeterDeps, ctx: Ctx, input: NewMeter): Promise<Meter> {
  const name = meterName(input.meterId);
  const { value } = await mutate(deps, ctx, name, async ({ tx, now, send, record }) => {
    if (await selectMeter(tx, input.meterId)) throw alreadyExists("Meter", name);
    const meter = { ...input, uid: deps.ids.uuid(), revision: 1, createdAt: now, updatedAt: now };
    send(insertMeter(tx, meter));
    record({ ...noun(input.meterId), before: null, after: meter });
    return meter;
  });
  return value;
}

/** Reads a meter. Throws RESOURCE_NOT_FOUND. */
export function getMeter(deps: MeterDeps, ctx: Ctx, meterId: string): Promise<Meter> {
  return read(deps, ctx, (tx) => requireMeter(tx, meterId));
}

/** Lists meters, by id. */
export async function listMeters(deps: MeterDeps, ctx: Ctx, page: { pageSize: number; pageToken: string }) {
  const size = pageSize(page.pageSize);
  const query = [ctx.method];
  const [after = ""] = decodePageToken(deps.seal, query, page.pageToken, deps.clock.now()) ?? [];
  const rows = await read(deps, ctx, (tx) => selectMeters(tx, String(after), size + 1));
  return cutPage(rows, size, (last) => encodePageToken(deps.seal, query, [last.meterId], deps.clock.now()));
}

/** Changes a meter's texts. Throws RESOURCE_NOT_FOUND and ETAG_MISMATCH. */
export async function updateMeter(deps: MeterDeps, ctx: Ctx, meterId: string, etag: string, patch: MeterPatch) {
  const { value } = await mutate(deps, ctx, meterName(meterId), async ({ tx, now, send, record }) => {
    const before = await requireMeter(tx, meterId);
    requireEtag(etag, before.uid, before.revision, meterName(meterId));
    const after = { ...before, ...patch, revision: before.revision + 1, updatedAt: now };
    send(updateMeterRow(tx, after));
    record({ ...noun(meterId), before, after });
    return after;
  });
  return value;
}

/** Deletes a meter that nothing uses. Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH and HAS_DEPENDENTS. */
export async function deleteMeter(
  deps: MeterDeps,
  ctx: Ctx,
  { meterId, etag, allowMissing }: { meterId: string; etag: string; allowMissing: boolean },
): Promise<void> {
  const name = meterName(meterId);
  await mutate(deps, ctx, name, async ({ tx, send, record }) => {
    const before = await selectMeter(tx, meterId);
    if (!before && allowMissing) return {};
    if (!before) throw notFound("Meter", name);
    requireEtag(etag, before.uid, before.revision, name);
    const user = meterId === SEATS_METER ? "the server" : await selectMeterUser(tx, meterId);
    if (user) throw new DomainError("HAS_DEPENDENTS", `${name} is used by ${user}`, { resource: name, user });
    send(deleteMeterRow(tx, meterId));
    record({ ...noun(meterId), before, after: null });
    return {};
  });
}

/**
 * Checks that limits name meters that exist and count as they do, and keeps those meters from being deleted until the
 * transaction ends. `field` says where a limit stands in the request. Throws INVALID_FIELDS.
 */
export async function requireMeters(tx: Tx, limits: readonly Limit[], field: (index: number) => string): Promise<void> {
  const ids = [...new Set(limits.map((limit) => limit.meter))];
  if (ids.length === 0) return;
  await shareTurns(tx, ids.map(meterName));
  const kinds = new Map((await selectMetersById(tx, ids)).map((meter) => [meter.meterId, meter.kind]));
  const problems = new Problems();
  for (const [index, limit] of limits.entries()) checkMeter(problems, field(index), limit, kinds.get(limit.meter));
  problems.throwIfAny();
}

async function requireMeter(sql: Queryable, meterId: string): Promise<Meter> {
  const meter = await selectMeter(sql, meterId);
  if (!meter) throw notFound("Meter", meterName(meterId));
  return meter;
}

function noun(meterId: string) {
  return { noun: "meter" as const, resource: meterName(meterId), tenantUid: null, integratorUid: null, auditView };
}
