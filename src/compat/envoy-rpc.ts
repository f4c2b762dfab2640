import { TENANT_ID } from "../aip/name.ts";
import { allows, type Principal } from "../auth/permission.ts";
import { DomainError, permissionDenied } from "../errors.ts";
import type { CheckRpcDeps } from "../quota/check-rpc.ts";
import type { CheckMode, Decision, Entry } from "../quota/decision.ts";
import { refusalOf } from "../quota/refusal.ts";
import { tenantTarget } from "../server/access.ts";
import { type Mount, mount } from "../server/handlers.ts";
import { type Ask, parseAsk, type Want } from "./envoy-parse-rpc.ts";
import { toResponse } from "./envoy-status-rpc.ts";
import { RateLimitService } from "./gen/envoy/service/ratelimit/v3/rls_pb.ts";

type EnvoyDeps = Pick<CheckRpcDeps, "checks" | "clock" | "findTenant">;

/**
 * The handler of Envoy's rate limit protocol. All descriptors are decided together: a refused request counts nowhere,
 * where Envoy's own server counts it against every limit that it passed. What could not be decided is an error, so that
 * the gateway's `failure_mode_deny` says what to do; a tenant that does not exist has no quota.
 */
export function envoyRpc(deps: EnvoyDeps): Mount {
  return mount(RateLimitService, {
    shouldRateLimit: async (request, ctx) => {
      const ask = parseAsk(request);
      return toResponse(ask, await decide(deps, ctx.principal, ask), deps.clock.now());
    },
  });
}

const PERMISSION = "quotas.check";

// Undefined when the request is of no tenant.
async function decide(deps: EnvoyDeps, principal: Principal, ask: Ask): Promise<Decision | undefined> {
  const { tenantId, wants, force } = ask;
  if (tenantId === undefined) return undefined;
  if (!allows(principal, PERMISSION, await tenantTarget(tenantId, principal, deps.findTenant))) {
    throw permissionDenied(PERMISSION, `tenants/${tenantId}`);
  }
  const looked = await check(
    deps,
    tenantId,
    "CHECK_ONLY",
    entriesOf(wants, ({ hits, back }) => hits === 0 && !back),
  );
  if (looked?.outcome === "DENY") return looked;
  const uses = entriesOf(wants, ({ hits, back }) => hits > 0 && !back);
  const used = await check(deps, tenantId, force ? "FORCE" : "CONSUME", uses);
  if (used?.outcome === "DENY") return used;
  const returns = entriesOf(wants, ({ hits, back }) => hits > 0 && back);
  const given =
    returns.length > 0 ? await deps.checks.release({ tenantId, entries: returns, idempotency: undefined }) : undefined;
  const [first, ...others] = [looked, used, given].filter((decision) => decision !== undefined);
  return first && { ...first, limits: [first, ...others].flatMap(({ limits }) => limits) };
}

async function check(
  { checks }: EnvoyDeps,
  tenantId: string,
  mode: CheckMode,
  entries: readonly Entry[],
): Promise<Decision | undefined> {
  if (entries.length === 0) return undefined;
  if (!TENANT_ID.test(tenantId)) return NOBODY;
  const [result] = await checks.check([{ tenantId, entries, mode, idempotency: undefined }]);
  if (!result || result instanceof DomainError) {
    if (result?.reason === "RESOURCE_NOT_FOUND") return NOBODY;
    throw result ?? new Error("a check has no result");
  }
  if (result.outcome === "UNDECIDED") throw refusalOf(`tenants/${tenantId}`, result);
  return result;
}

/** What is decided of a tenant that does not exist. */
const NOBODY: Decision = {
  outcome: "DENY",
  reason: undefined,
  consistency: "EXACT",
  replayed: false,
  admittedAmounts: [],
  slots: [],
  limits: [],
  retryAfterMs: undefined,
  tenantEpoch: 0,
};

// What descriptors of one meter want adds up. Who looks without counting asks whether there would be room for one.
function entriesOf(wants: readonly Want[], choose: (want: Want) => boolean): Entry[] {
  const amounts = new Map<string, number>();
  for (const want of wants) {
    if (want.meter === undefined || !choose(want)) continue;
    amounts.set(want.meter, want.hits === 0 ? 1 : (amounts.get(want.meter) ?? 0) + want.hits);
  }
  return [...amounts].map(([meter, amount]) => ({ meter, amount, slot: undefined }));
}
