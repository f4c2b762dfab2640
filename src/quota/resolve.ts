import type { Integrator } from "../integrator/integrator.ts";
import { AMOUNT_MAX, type Limit } from "../limit.ts";
import type { Plan } from "../plan/plan.ts";
import { type Tenant, tenantName } from "../tenant/tenant.ts";
import type { EffectiveLimit, Holder, TenantQuotas, Window } from "./effective.ts";
import { counts, inBurnOrder, isOver, leftOf, type QuotaGrant, type QuotaPeriod } from "./grant.ts";
import { overrideOf, type QuotaOverride } from "./override.ts";
import { isWindowOf, type PeriodOrigin, type windowAt } from "./period.ts";

/** Everything that a tenant's limits are made of. */
export interface QuotaFacts {
  readonly tenant: Pick<
    Tenant,
    "uid" | "tenantId" | "planId" | "planVersion" | "timeZone" | "createdAt" | "state" | "epoch"
  >;
  readonly plan: Pick<Plan, "limits">;
  readonly overrides: readonly QuotaOverride[];
  readonly grants: readonly QuotaGrant[];
  readonly periods: readonly QuotaPeriod[];
  readonly integrator: IntegratorFacts | undefined;
}

/** The limits of a plan in one version. */
export type PlanLimits = Pick<Plan, "uid" | "version" | "limits">;

/** What counts of an integrator. */
export type IntegratorFacts = Pick<Integrator, "uid" | "integratorId" | "limits" | "revision" | "createdAt">;

/** A step on the way from the plan to the effective amount, and the amount after it. */
export type Step = { readonly amount: bigint } & (
  | { readonly kind: "PLAN"; readonly planId: string; readonly planVersion: number }
  | { readonly kind: "OVERRIDE"; readonly override: QuotaOverride }
  | { readonly kind: "ROLLOVER"; readonly rollover: bigint }
  | { readonly kind: "GRANT"; readonly grant: QuotaGrant; readonly left: bigint }
  | { readonly kind: "INTEGRATOR"; readonly integratorId: string }
);

/** A limit as it applies, with the steps that made it so. */
export interface ResolvedLimit {
  readonly effective: EffectiveLimit;
  readonly steps: readonly Step[];
  /** When it next changes by itself; Infinity when it will not. */
  readonly nextChangeAt: number;
  /** The period on record is of another rule, and will not end by itself. */
  readonly replaced: boolean;
}

/** When to resolve for, and by what calendar. */
export interface ResolveAt {
  readonly now: number;
  readonly windowAt: typeof windowAt;
}

/** The limits of a tenant at an instant, each resolved: its own, by id, and then those of its integrator. */
export function resolveLimits(facts: QuotaFacts, at: ResolveAt): ResolvedLimit[] {
  const { tenant, plan, overrides, integrator } = facts;
  const byId = (a: string, b: string) => (a < b ? -1 : 1);
  const own = [...new Set([...plan.limits, ...overrides.map(({ limit }) => limit)].map(({ limitId }) => limitId))];
  const shared = [...(integrator?.limits ?? [])].sort((a, b) => byId(a.limitId, b.limitId));
  const holder: Holder = { kind: "tenant", uid: tenant.uid, name: tenantName(tenant.tenantId) };
  return [
    ...own.sort(byId).flatMap((limitId) => resolveOwn(facts, holder, limitId, at) ?? []),
    ...shared.map((limit) => resolveShared(integrator as IntegratorFacts, limit, at)),
  ];
}

/** All that decisions know of a tenant, and when it stops being so. */
export function compile(facts: QuotaFacts, meters: { has(meterId: string): boolean }, at: ResolveAt): TenantQuotas {
  const { tenant, integrator } = facts;
  const resolved = resolveLimits(facts, at);
  const byMeter = new Map<string, EffectiveLimit[]>();
  for (const { effective } of resolved) {
    const { meter } = effective.limit;
    byMeter.set(meter, [...(byMeter.get(meter) ?? []), effective]);
  }
  return {
    tenantUid: tenant.uid,
    tenantId: tenant.tenantId,
    state: tenant.state,
    epoch: tenant.epoch,
    rootUid: integrator?.uid ?? tenant.uid,
    limits: resolved.map(({ effective }) => effective),
    limitsOf: (meter) => byMeter.get(meter) ?? (meters.has(meter) ? NONE : undefined),
    nextChangeAt: Math.min(Number.POSITIVE_INFINITY, ...resolved.map(({ nextChangeAt }) => nextChangeAt)),
    replacedPeriod: resolved.some(({ replaced }) => replaced),
  };
}

const NONE: readonly EffectiveLimit[] = [];

function resolveOwn(facts: QuotaFacts, holder: Holder, limitId: string, at: ResolveAt): ResolvedLimit | undefined {
  const { tenant, plan, overrides } = facts;
  const planned = plan.limits.find((limit) => limit.limitId === limitId);
  const override = overrideOf(overrides, limitId, at.now);
  const limit = override?.limit ?? planned;
  if (!limit) return undefined;
  const window = windowOf(limit, tenant, at);
  const recorded = recordedOf(facts, limit, window);
  const grants = grantsOf(facts, limit, recorded.unsettled ? window : undefined);
  const inForce = grants.filter((grant) => counts(grant, at.now));
  const steps = stepsTo({ tenant, planned, override, rollover: recorded.rollover, grants: inBurnOrder(inForce) });
  const amount = steps.at(-1)?.amount ?? 0n;
  const source = inForce.length > 0 ? "GRANT" : override ? "OVERRIDE" : "PLAN";
  const origin = `${tenant.planId}@${tenant.planVersion}${override ? `+${override.overrideId}@${override.revision}` : ""}`;
  const turns = [
    ...overrides.filter((candidate) => candidate.limit.limitId === limitId).map(({ expiresAt }) => expiresAt),
    ...grants.flatMap(({ startsAt, expiresAt }) => [startsAt, expiresAt]),
  ].filter((turn) => turn !== null && turn > at.now);
  return {
    effective: makeEffective({ holder, limit, amount, source, window, origin }),
    steps,
    nextChangeAt: Math.min(window?.endAt ?? Number.POSITIVE_INFINITY, ...turns.map(Number)),
    replaced: recorded.replaced,
  };
}

/** What the period on record of a limit says of the running one. */
function recordedOf({ periods }: QuotaFacts, { limitId, rule }: Limit, window: Window | undefined) {
  const period = periods.find((candidate) => candidate.limitId === limitId);
  if (rule.kind !== "PERIOD" || !period) return { rollover: 0n, unsettled: false, replaced: false };
  if (period.windowId !== window?.id) {
    return { rollover: 0n, unsettled: true, replaced: !isWindowOf(rule, period.windowId) };
  }
  const [left, most] = [BigInt(period.rolloverAmount), BigInt(rule.rolloverMax)];
  return { rollover: left < most ? left : most, unsettled: false, replaced: false };
}

/** The way from the plan's amount to the effective one, as far as there is something on it. */
function stepsTo(way: {
  readonly tenant: QuotaFacts["tenant"];
  readonly planned: Limit | undefined;
  readonly override: QuotaOverride | undefined;
  readonly rollover: bigint;
  readonly grants: readonly QuotaGrant[];
}): Step[] {
  const { tenant, planned, override, rollover, grants } = way;
  const steps: Step[] = [];
  let amount = BigInt(override?.limit.amount ?? planned?.amount ?? "0");
  if (planned) {
    const { planId, planVersion } = tenant;
    steps.push({ kind: "PLAN", planId, planVersion, amount: BigInt(planned.amount) });
  }
  if (override) steps.push({ kind: "OVERRIDE", override, amount });
  if (rollover > 0n) {
    amount = saturate(amount + rollover);
    steps.push({ kind: "ROLLOVER", rollover, amount });
  }
  for (const grant of grants) {
    const left = leftOf(grant);
    amount = saturate(amount + left);
    steps.push({ kind: "GRANT", grant, left, amount });
  }
  return steps;
}

// A period that waits to be settled may have used the grants up: until that is known, only those begun since count.
function grantsOf(facts: QuotaFacts, { limitId, rule }: Limit, running: Window | undefined): QuotaGrant[] {
  if (rule.kind !== "PERIOD" && rule.kind !== "GAUGE") return [];
  return facts.grants.filter(
    (grant) => grant.limitId === limitId && !isOver(grant) && (!running || grant.startsAt >= running.startAt),
  );
}

function resolveShared(integrator: IntegratorFacts, limit: Limit, at: ResolveAt): ResolvedLimit {
  const { uid, integratorId, revision, createdAt } = integrator;
  const holder: Holder = { kind: "integrator", uid, name: `integrators/${integratorId}` };
  const window = windowOf(limit, { createdAt, timeZone: "UTC" }, at);
  const amount = BigInt(limit.amount);
  const origin = `${integratorId}@${revision}`;
  return {
    effective: makeEffective({ holder, limit, amount, source: "INTEGRATOR", window, origin }),
    steps: [{ kind: "INTEGRATOR", integratorId, amount }],
    nextChangeAt: window?.endAt ?? Number.POSITIVE_INFINITY,
    replaced: false,
  };
}

function makeEffective(
  parts: Pick<EffectiveLimit, "holder" | "limit" | "amount" | "source" | "window"> & { origin: string },
): EffectiveLimit {
  const { origin, ...rest } = parts;
  const { holder, limit, amount, window } = rest;
  const cap = capOf(limit, amount);
  return {
    ...rest,
    key: `${holder.kind === "tenant" ? "t" : "i"}/${limit.limitId}`,
    cap,
    version: `${origin}=${amount}${window ? `~${window.id}` : ""}`,
  };
}

function capOf(limit: Limit, amount: bigint): bigint {
  switch (limit.mode) {
    case "HARD":
      return amount;
    case "OVERAGE":
      return saturate(amount + BigInt(limit.overageCap));
    case "SOFT":
    case "SHADOW":
      return AMOUNT_MAX;
    default:
      return limit.mode satisfies never;
  }
}

function windowOf({ rule }: Limit, origin: PeriodOrigin, at: ResolveAt): Window | undefined {
  return rule.kind === "PERIOD" ? at.windowAt(rule, origin, at.now) : undefined;
}

function saturate(amount: bigint): bigint {
  return amount < AMOUNT_MAX ? amount : AMOUNT_MAX;
}
