import type { Consistency } from "@tenantplane/sdk/gen/tenantplane/v1/consistency_pb";
import type { ListTenantsNearLimitRequest } from "@tenantplane/sdk/gen/tenantplane/v1/quota_admin_pb";
import type { QuotaService } from "@tenantplane/sdk/gen/tenantplane/v1/quota_pb";
import { LIMIT_ID, METER_ID, parseId } from "../aip/name.ts";
import { allows, type Principal } from "../auth/permission.ts";
import { parsePosition } from "../change/token.ts";
import { invalidField, notFound, Problems } from "../errors.ts";
import { toTimestamp } from "../server/convert.ts";
import type { Handlers } from "../server/handlers.ts";
import { toLimit } from "../server/limit.ts";
import { tenantName } from "../tenant/tenant.ts";
import { toLimitState } from "./check-write-rpc.ts";
import { explain } from "./explain.ts";
import { listNearLimits, type NearDeps, type NearQuery } from "./near-service.ts";
import { type QuotaReadDeps, readLimits, readStates } from "./read-service.ts";

export interface QuotaReadRpcDeps extends NearDeps, QuotaReadDeps {
  readonly database: string;
  /** Every transaction below this id is in the node's memory. */
  readonly through: () => bigint;
}

/** The handlers of QuotaService that read limits. */
export function quotaReadRpc(
  deps: QuotaReadRpcDeps,
): Pick<Handlers<typeof QuotaService>, "getTenantQuotas" | "explainQuota" | "listTenantsNearLimit"> {
  return {
    getTenantQuotas: async ({ name, meters, consistency }, ctx) => {
      const tenantId = parseId(name, "tenants", "name");
      if (meters.length > METERS_MAX) throw invalidField("meters", `must have at most ${METERS_MAX} entries`);
      for (const [index, meter] of meters.entries()) {
        if (!METER_ID.test(meter))
          throw invalidField(`meters[${index}]`, "must be 1 to 63 of [a-z0-9_.], first a letter");
      }
      const resolved = await readLimits(deps, ctx, tenantId, sourceOf(deps, consistency));
      const limits = resolved
        .map(({ effective }) => effective)
        .filter(({ limit, holder }) => isAsked(meters, limit.meter) && maySee(ctx.principal, holder.name));
      return { limits: (await readStates(deps, ctx, tenantId, limits)).map(toLimitState) };
    },
    explainQuota: async ({ name, limitId, holder }, ctx) => {
      const tenantId = parseId(name, "tenants", "name");
      const owner = holder || tenantName(tenantId);
      const found = (await readLimits(deps, ctx, tenantId, "database")).find(
        ({ effective }) => effective.limit.limitId === limitId && effective.holder.name === owner,
      );
      if (!found || !maySee(ctx.principal, owner)) throw notFound("Limit", `${owner} limit ${limitId}`);
      const { effective, steps, nextChangeAt } = found;
      const [state] = await readStates(deps, ctx, tenantId, [effective]);
      return {
        ...(state ? { limit: toLimitState(state) } : {}),
        effectiveLimit: toLimit(effective.limit),
        steps: steps.map(explain),
        ...(Number.isFinite(nextChangeAt) ? { nextChangeTime: toTimestamp(nextChangeAt) } : {}),
      };
    },
    listTenantsNearLimit: async (request, ctx) => {
      const { items, token, watermarkAt } = await listNearLimits(deps, ctx, parseNearQuery(request));
      return {
        items: items.map(({ tenantId, state, usedPercent }) => ({
          tenant: tenantName(tenantId),
          limit: toLimitState(state),
          usedPercent,
        })),
        nextPageToken: token,
        watermarkTime: toTimestamp(watermarkAt),
      };
    },
  };
}

function parseNearQuery(request: ListTenantsNearLimitRequest): NearQuery {
  const { limitId, minPercent, integrator, pageSize, pageToken } = request;
  const problems = new Problems();
  if (limitId !== "" && !LIMIT_ID.test(limitId)) {
    problems.add("limit_id", "must be 1 to 63 of [a-z0-9_.-], first a letter");
  }
  if (minPercent < 0 || minPercent > PERCENT_MAX) problems.add("min_percent", `must be 0 to ${PERCENT_MAX}`);
  problems.throwIfAny();
  const integratorId = integrator === "" ? "" : parseId(integrator, "integrators", "integrator");
  return { limitId, minPercent: minPercent || PERCENT_DEFAULT, integratorId, pageSize, pageToken };
}

/** Where most warnings begin. */
const PERCENT_DEFAULT = 80;
/** As far beyond its amount as a limit's warnings go. */
const PERCENT_MAX = 1_000;
/** As many limits as a plan may have. */
const METERS_MAX = 100;

function isAsked(meters: readonly string[], meter: string): boolean {
  return meters.length === 0 || meters.includes(meter);
}

// What all tenants of an integrator use together tells each of them of the others.
function maySee(principal: Principal, holder: string): boolean {
  const [collection, id = ""] = holder.split("/");
  return collection === "tenants" || allows(principal, "quotas.get", { kind: "integrator", integratorId: id });
}

function sourceOf(deps: QuotaReadRpcDeps, consistency: Consistency | undefined): "database" | "memory" {
  const requirement = consistency?.requirement;
  if (requirement?.case === "cached") return requirement.value ? "memory" : "database";
  if (requirement?.case !== "minRevision") return "database";
  const position = parsePosition(deps.database, requirement.value, "consistency.min_revision");
  return deps.through() > position.xid ? "memory" : "database";
}
