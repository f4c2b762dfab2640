import { invalidField } from "../errors.ts";
import { SEATS_METER } from "../meter/meter.ts";
import type { Clock } from "../platform/clock.ts";
import type { Allotments } from "./allotment-service.ts";
import { ALONE, type Checker } from "./check-service.ts";
import type { Observation } from "./checks.ts";
import type { Decider } from "./decide-service.ts";
import type { Decision } from "./decision.ts";
import { KIND, MODE } from "./hot/state.ts";
import type { Prepared, Preparer } from "./prepare.ts";

export interface GaugeDeps {
  readonly checker: Checker;
  readonly decider: Decider;
  readonly preparer: Preparer;
  readonly allotments: Allotments;
  readonly clock: Clock;
}

/**
 * Sets what is in use of a tenant's gauge. An integrator's limit on the same meter counts all of its tenants: it moves by
 * what the observation differs from what was counted of the tenant. Throws RESOURCE_NOT_FOUND, INVALID_FIELDS and
 * REQUEST_ID_REUSED.
 */
export async function setGauge(deps: GaugeDeps, input: Observation): Promise<Decision> {
  const { checker, preparer, decider, allotments } = deps;
  const quotas = checker.quotas(input.tenantId);
  const limits = preparer.limitsOf(quotas, input.meter);
  requireGauge(input.meter, limits);
  const entries = [{ meter: input.meter, amount: 0, slot: undefined }];
  const parts = (limits ?? []).map((limit) => ({ ...limit.one, amount: 0 }));
  const asked = { entries, path: ALONE, kinds: "ANY", mode: MODE.CHECK_ONLY, idempotency: input.idempotency } as const;
  // Looks first: a request that was carried out has its answer, and a gauge that was never counted gets its row.
  const { decision, verdict } = await checker.ask(quotas, asked);
  if (parts.length === 0 || verdict?.status === "REPLAYED") return { ...decision, outcome: "ALLOW", reason: undefined };
  const observation = { observedAt: input.observedAt ?? deps.clock.now(), used: input.used };
  const own = (limits ?? []).filter(({ effective }) => effective.holder.kind === "tenant");
  const differences = await Promise.all(own.map(({ account }) => allotments.observe(account, observation)));
  const shared = (limits ?? []).filter(({ effective }) => effective.holder.kind === "integrator");
  const [difference = 0n] = differences;
  const amount = Number(difference < 0n ? -difference : difference);
  if (amount > 0 && shared.length > 0) {
    const moved = shared.map((limit) => ({ ...limit.one, amount }));
    const refs = moved.map(() => ({ epoch: 0, mark: 0, spent: 0 }));
    const mode = difference < 0n ? MODE.RELEASE : MODE.FORCE;
    await decider.decide({ rootUid: quotas.rootUid, mode, parts: moved, ...(difference < 0n ? { refs } : {}) });
  }
  // Gives back nothing, which keeps the answer for a retry.
  const keeps = input.idempotency ? MODE.RELEASE : MODE.CHECK_ONLY;
  const after = await checker.ask(quotas, { ...asked, mode: keeps });
  // It asks for nothing: what goes beyond is what was observed.
  const states = after.decision.limits.map((state) => ({
    ...state,
    exceeded: state.used + state.held > state.effective.amount,
  }));
  return { ...after.decision, limits: states, outcome: "ALLOW", reason: undefined, admittedAmounts: [0] };
}

function requireGauge(meter: string, limits: readonly Prepared[] | undefined): void {
  if (!limits) throw invalidField("meter", `there is no meter ${meter}`);
  if (meter === SEATS_METER) throw invalidField("meter", "seats are counted by the server alone");
  const kind = limits[0]?.hot.kind;
  if (kind !== undefined && kind !== KIND.GAUGE) throw invalidField("meter", "is no gauge");
}
