import { create, toBinary } from "@bufbuild/protobuf";
import type { Consistency } from "@tenantplane/sdk/gen/tenantplane/v1/consistency_pb";
import {
  type GetTenantResponse,
  GetTenantResponseSchema,
  TenantService,
} from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { rememberBytes } from "@tenantplane/sdk/wire";
import { parseId } from "../aip/name.ts";
import { allows } from "../auth/permission.ts";
import { parsePosition } from "../change/token.ts";
import type { Ctx } from "../context.ts";
import { invalidField, notFound, Problems } from "../errors.ts";
import type { Written } from "../mutation.ts";
import { durationMs, toTimestamp } from "../server/convert.ts";
import { type Mount, mount } from "../server/handlers.ts";
import { toState, toTenant } from "./convert-rpc.ts";
import { holdId, parseNewTenant, patchOf, suspensionReason } from "./parse-rpc.ts";
import { batchGetTenants, getTenant, type TenantReadDeps } from "./read-service.ts";
import {
  createTenant,
  deleteTenant,
  listTenants,
  listTransitions,
  placeLegalHold,
  releaseLegalHold,
  type TenantDeps,
  transitionTenant,
  updateTenant,
} from "./service.ts";
import { type Tenant, tenantName } from "./tenant.ts";
import { type WatchDeps, watchTenants } from "./watch-rpc.ts";

export interface TenantRpcDeps extends TenantDeps, TenantReadDeps, WatchDeps {
  /** Every transaction below this id is in the table. */
  readonly through: () => bigint;
  readonly deleteRetentionMs: number;
}

/** The handlers of TenantService. */
export function tenantRpc(deps: TenantRpcDeps): Mount {
  const written = ({ value, revision }: Written<Tenant>) => ({
    tenant: toTenant(value),
    revision: revision === 0n ? "" : deps.token({ xid: revision, seq: 0 }),
  });
  const id = (name: string) => parseId(name, "tenants", "name");
  type Step = { name: string; etag: string };
  const transition = async (ctx: Ctx, request: Step, verb: "activate" | "archive" | "unarchive" | "undelete") =>
    written(await transitionTenant(deps, ctx, id(request.name), request.etag, { verb }));
  return mount(TenantService, {
    createTenant: async (request, ctx) => written(await createTenant(deps, ctx, parseNewTenant(deps.ids, request))),
    getTenant: (request, ctx) => {
      const tenantId = id(request.name);
      const known = fromMemory(deps, ctx, tenantId, request.consistency);
      if (known && !isBrowser(ctx)) return cachedAnswer(known);
      const found = known ? Promise.resolve(known) : getTenant(deps, ctx, tenantId);
      return found.then((tenant) => ({ tenant: toTenant(shown(ctx, tenant)) }));
    },
    batchGetTenants: async (request, ctx) => {
      if (request.names.length > BATCH_MAX) throw invalidField("names", `must be at most ${BATCH_MAX}`);
      const ids = request.names.map((name, index) => parseId(name, "tenants", `names[${index}]`));
      const known = ids.map((tenantId) => fromMemory(deps, ctx, tenantId, request.consistency));
      const tenants = known.includes(undefined) ? await batchGetTenants(deps, ctx, ids) : known;
      return { tenants: tenants.flatMap((tenant) => (tenant ? [toTenant(shown(ctx, tenant))] : [])) };
    },
    listTenants: async (request, ctx) => {
      const { items, token } = await listTenants(deps, ctx, request);
      return { tenants: items.map(toTenant), nextPageToken: token };
    },
    updateTenant: async (request, ctx) => {
      const { tenant } = request;
      if (!tenant) throw invalidField("tenant", "must be set");
      const patch = patchOf(tenant, request.updateMask?.paths);
      return written(await updateTenant(deps, ctx, parseId(tenant.name, "tenants", "tenant.name"), tenant.etag, patch));
    },
    activateTenant: (request, ctx) => transition(ctx, request, "activate"),
    archiveTenant: (request, ctx) => transition(ctx, request, "archive"),
    unarchiveTenant: (request, ctx) => transition(ctx, request, "unarchive"),
    undeleteTenant: (request, ctx) => transition(ctx, request, "undelete"),
    suspendTenant: async (request, ctx) => {
      const event = { verb: "suspend", reason: suspensionReason(request.suspension), message: ctx.reason } as const;
      return written(await transitionTenant(deps, ctx, id(request.name), request.etag, event));
    },
    resumeTenant: async (request, ctx) => {
      const event = { verb: "resume", reason: suspensionReason(request.suspension) } as const;
      return written(await transitionTenant(deps, ctx, id(request.name), request.etag, event));
    },
    deleteTenant: async (request, ctx) => {
      const problems = new Problems();
      const range = { fallback: deps.deleteRetentionMs, min: 0, max: DELETE_RETENTION_MAX_MS };
      const retentionMs = durationMs(problems, "retention", request.retention, range);
      problems.throwIfAny();
      const { name, etag, allowMissing } = request;
      const done = await deleteTenant(deps, ctx, { tenantId: id(name), etag, retentionMs, allowMissing });
      const { tenant } = done.value;
      return tenant ? written({ value: tenant, revision: done.revision }) : {};
    },
    placeLegalHold: async (request, ctx) =>
      written(await placeLegalHold(deps, ctx, id(request.name), request.etag, holdId(request.holdId))),
    releaseLegalHold: async (request, ctx) =>
      written(await releaseLegalHold(deps, ctx, id(request.name), request.etag, holdId(request.holdId))),
    listTransitions: async (request, ctx) => {
      const { pageSize, pageToken } = request;
      const tenantId = parseId(request.parent, "tenants", "parent");
      const { items, token } = await listTransitions(deps, ctx, { tenantId, pageSize, pageToken });
      const transitions = items.map(({ fromState, toState: to, at, epoch, ...entry }) => ({
        ...entry,
        ...(fromState === null ? {} : { fromState: toState(fromState) }),
        toState: toState(to),
        epoch: BigInt(epoch),
        transitionTime: toTimestamp(at),
      }));
      return { transitions, nextPageToken: token };
    },
    watchTenants: (request, ctx) => watchTenants(deps, ctx, request),
  });
}

// A key of the role "client" is in the hands of whoever opens the page.
function isBrowser(ctx: Ctx): boolean {
  return ctx.principal.bindings.every(({ role }) => role === "client");
}

function shown(ctx: Ctx, tenant: Tenant): Tenant {
  return isBrowser(ctx) ? { ...tenant, labels: {}, legalHolds: [] } : tenant;
}

/** As AIP-231 has it. */
const BATCH_MAX = 1_000;
/** Five years: longer than any law asks for by default. */
const DELETE_RETENTION_MAX_MS = 5 * 366 * 24 * 3_600_000;

const answers = new WeakMap<Tenant, GetTenantResponse>();

// A tenant's answer is made and encoded once; every cached read until its next write sends the same bytes.
function cachedAnswer(tenant: Tenant): GetTenantResponse {
  const known = answers.get(tenant);
  if (known) return known;
  const answer = create(GetTenantResponseSchema, { tenant: toTenant(tenant) });
  rememberBytes(answer, toBinary(GetTenantResponseSchema, answer));
  answers.set(tenant, answer);
  return answer;
}

// The tenant in memory when the asked consistency allows it; undefined sends the caller to the database.
function fromMemory(deps: TenantRpcDeps, ctx: Ctx, tenantId: string, consistency: Consistency | undefined) {
  const requirement = consistency?.requirement;
  if (requirement?.case === "minRevision") {
    const position = parsePosition(deps.database, requirement.value, "consistency.min_revision");
    if (deps.through() <= position.xid) return undefined;
  } else if (requirement?.case !== "cached" || !requirement.value) return undefined;
  const tenant = deps.table.byId(tenantId);
  const integratorId = tenant?.integratorId ?? undefined;
  // What row level security does for reads from the database.
  if (!tenant || !allows(ctx.principal, "tenants.get", { kind: "tenant", tenantId, integratorId })) {
    throw notFound("Tenant", tenantName(tenantId));
  }
  return tenant;
}
