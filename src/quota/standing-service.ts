import { DomainError } from "../errors.ts";
import { SEATS_METER } from "../meter/meter.ts";
import { type Checker, statesOf } from "./check-service.ts";
import type { Decider } from "./decide-service.ts";
import type { LimitState } from "./decision.ts";
import { MODE } from "./hot/state.ts";
import type { Preparer } from "./prepare.ts";

export interface StandingDeps {
  readonly checker: Checker;
  readonly decider: Decider;
  readonly preparer: Preparer;
}

/**
 * The limits of a tenant as they stand, in their order: of these meters, or of all. The seats are not among them: they are
 * counted in Postgres. Throws RESOURCE_NOT_FOUND and DECISION_UNAVAILABLE.
 */
export async function readStanding(
  { checker, decider, preparer }: StandingDeps,
  tenantId: string,
  meters: readonly string[],
): Promise<readonly LimitState[]> {
  const quotas = checker.quotas(tenantId);
  const wanted = new Set(meters);
  const named = new Set(quotas.limits.map(({ limit }) => limit.meter));
  const parts = [...named]
    .filter((meter) => meter !== SEATS_METER && (wanted.size === 0 || wanted.has(meter)))
    .flatMap((meter) => preparer.limitsOf(quotas, meter) ?? [])
    .map((limit) => ({ ...limit.one, amount: 0 }));
  if (parts.length === 0) return [];
  const verdict = await decider.decide({ rootUid: quotas.rootUid, mode: MODE.CHECK_ONLY, parts });
  if (!("judged" in verdict)) {
    throw new DomainError("DECISION_UNAVAILABLE", "what is used can't be asked now: retry", { tenant: tenantId });
  }
  const states = statesOf(verdict.judged, true, verdict.now).map(({ state }) => state);
  return quotas.limits.flatMap((effective) => states.find((state) => state.effective === effective) ?? []);
}
