import { type Ctx, rowScope } from "../context.ts";
import { notFound } from "../errors.ts";
import { SEATS_METER } from "../meter/meter.ts";
import { type MutationDeps, remainingMs } from "../mutation.ts";
import { readAs } from "../platform/postgres.ts";
import { requireTenant } from "../tenant/service.ts";
import { tenantName } from "../tenant/tenant.ts";
import type { QuotaChecks } from "./checks.ts";
import { type LimitState, stateOf } from "./decision.ts";
import type { EffectiveLimit } from "./effective.ts";
import { selectFacts } from "./facts-store.ts";
import { windowAt } from "./period.ts";
import { type QuotaFacts, resolveLimits } from "./resolve.ts";
import { readSeats } from "./seat-service.ts";
import type { QuotaTable } from "./table.ts";

export interface QuotaReadDeps extends Pick<MutationDeps, "sql" | "clock"> {
  readonly checks: Pick<QuotaChecks, "read">;
  readonly quotas: QuotaTable;
}

/** A tenant's limits as the database has them, or else as this node does. Throws RESOURCE_NOT_FOUND. */
export async function readLimits(deps: QuotaReadDeps, ctx: Ctx, tenantId: string, source: "database" | "memory") {
  const facts = source === "memory" ? deps.quotas.factsOf(tenantId) : await readFacts(deps, ctx, tenantId);
  if (!facts) throw notFound("Tenant", tenantName(tenantId));
  return resolveLimits(facts, { now: deps.clock.now(), windowAt });
}

/** These limits of a tenant as they stand: what is used of them is asked of the hot state, of seats of the database. */
export async function readStates(
  deps: QuotaReadDeps,
  ctx: Ctx,
  tenantId: string,
  limits: readonly EffectiveLimit[],
): Promise<LimitState[]> {
  const isSeats = ({ limit }: EffectiveLimit) => limit.meter === SEATS_METER;
  const meters = [...new Set(limits.filter((effective) => !isSeats(effective)).map(({ limit }) => limit.meter))];
  const [hot, seats] = await Promise.all([
    // What this node has not heard of yet, nobody has used here.
    meters.length > 0 && deps.quotas.quotasOf(tenantId) ? deps.checks.read(tenantId, meters) : [],
    readSeats(deps, ctx, limits.filter(isSeats)),
  ]);
  const states = new Map([...hot, ...seats].map((state) => [state.effective.key, state]));
  return limits.map((effective) => {
    const state = states.get(effective.key);
    if (state?.effective.version === effective.version) return state;
    // This node has yet to hear of the limit's last change; a period that it does not know has just begun.
    const isSame = state?.effective.window?.id === effective.window?.id;
    return stateOf(effective, (isSame && state?.used) || 0n, (isSame && state?.held) || 0n);
  });
}

function readFacts(deps: QuotaReadDeps, ctx: Ctx, tenantId: string): Promise<QuotaFacts> {
  return readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), async (tx) =>
    selectFacts(tx, await requireTenant(tx, tenantId)),
  );
}
