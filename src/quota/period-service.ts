import { type Ctx, rowScope } from "../context.ts";
import { type Mutation, type MutationDeps, mutate, remainingMs } from "../mutation.ts";
import { readAs, type Tx } from "../platform/postgres.ts";
import { requireTenant } from "../tenant/service.ts";
import { type Tenant, tenantName } from "../tenant/tenant.ts";
import { selectFacts } from "./facts-store.ts";
import {
  grantName,
  auditView as grantView,
  periodAuditView,
  periodName,
  type QuotaGrant,
  type QuotaPeriod,
} from "./grant.ts";
import {
  deletePeriodRow,
  selectDuePeriods,
  selectOpenGrants,
  selectUnopenedPeriods,
  updateGrantRow,
  upsertPeriod,
} from "./grant-store.ts";
import { selectOverridesOf } from "./override-store.ts";
import type { QuotaFacts } from "./resolve.ts";
import { limitAsOf, ruleOf, runningPeriod, type Settlement, settle } from "./settle.ts";

export interface PeriodDeps extends MutationDeps {
  /** How much of a tenant's limit was used within a period, as far as it is known for good. */
  readonly usedOf: (tx: Tx, use: { holderUid: string; limitId: string; windowId: string }) => Promise<bigint>;
}

/** Names a limit of a tenant. */
export interface LimitRef {
  readonly tenantId: string;
  readonly limitId: string;
}

/** So long after a period's end the nodes have told of all that they admitted in it. */
const SETTLE_DELAY_MS = 60_000;

/** Limits whose period has ended and whose use is known, at most `limit`, oldest first. */
export function duePeriods(deps: PeriodDeps, ctx: Ctx, limit: number): Promise<LimitRef[]> {
  return readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), (tx) =>
    selectDuePeriods(tx, deps.clock.now() - SETTLE_DELAY_MS, limit),
  );
}

/** Limits that roll over and have no period on record, at most `limit`. */
export function unopenedPeriods(deps: PeriodDeps, ctx: Ctx, limit: number): Promise<LimitRef[]> {
  return readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), (tx) =>
    selectUnopenedPeriods(tx, limit),
  );
}

/**
 * Settles the period of a limit when it is due and puts the next one on record: grants are debited, and what is left rolls
 * over. A limit without a period on record gets its running one. Safe to run twice, and on several nodes at once.
 */
export async function settlePeriod(deps: PeriodDeps, ctx: Ctx, { tenantId, limitId }: LimitRef): Promise<void> {
  await mutate(deps, ctx, tenantName(tenantId), async (mutation) => {
    const { tx, now } = mutation;
    const tenant = await requireTenant(tx, tenantId);
    const facts = await selectFacts(tx, tenant);
    const period = facts.periods.find((candidate) => candidate.limitId === limitId);
    if (!period) return openPeriod(mutation, tenant, facts, limitId);
    if (period.endsAt + SETTLE_DELAY_MS > now) return {};
    const limit = limitAsOf(facts.plan, facts.overrides, limitId, now);
    const running = runningPeriod(tenant, limit, true, now);
    // Its end was moved, with the tenant's time zone or by a rule that came and went.
    if (running?.windowId === period.windowId) {
      return writePeriod(mutation, tenant, period, { ...period, startsAt: running.startsAt, endsAt: running.endsAt });
    }
    const settlement = await settlementOf(deps, mutation, tenant, period);
    const { rollover, grants } = settle(settlement);
    for (const { before, after } of grants) await writeGrant(mutation, tenant, before, after);
    const open = (await selectOpenGrants(tx, tenant.uid)).some((grant) => grant.limitId === limitId);
    // The period right after it, even when that is over as well: each is settled in its turn.
    const next = runningPeriod(tenant, limit, open, ruleOf(period, limit) ? period.endsAt : now);
    return writePeriod(mutation, tenant, period, next && { ...next, rolloverAmount: String(rollover) });
  });
}

/** Puts the running period of a limit on record, unless one is. */
export async function openPeriod(
  mutation: Mutation,
  tenant: Tenant,
  facts: QuotaFacts,
  limitId: string,
): Promise<object> {
  if (facts.periods.some((period) => period.limitId === limitId)) return {};
  const limit = limitAsOf(facts.plan, facts.overrides, limitId, mutation.now);
  const hasGrants = facts.grants.some((grant) => grant.limitId === limitId);
  return writePeriod(mutation, tenant, undefined, runningPeriod(tenant, limit, hasGrants, mutation.now));
}

/**
 * Ends the periods on record of limits that count by another rule by now: what was used in them is settled, and the new
 * rule's periods begin.
 */
export async function cutPeriods(deps: PeriodDeps, ctx: Ctx, tenantId: string): Promise<void> {
  await mutate(deps, ctx, tenantName(tenantId), async (mutation) => {
    const tenant = await requireTenant(mutation.tx, tenantId);
    const { plan, overrides, periods } = await selectFacts(mutation.tx, tenant);
    for (const period of periods) {
      const limit = limitAsOf(plan, overrides, period.limitId, mutation.now);
      if (period.endsAt <= mutation.now || ruleOf(period, limit)) continue;
      await writePeriod(mutation, tenant, period, { ...period, endsAt: mutation.now });
    }
    return {};
  });
}

/** All that a period is settled with, at its end or up to now. */
export async function settlementOf(
  deps: PeriodDeps,
  { tx, now }: Mutation,
  tenant: Tenant,
  period: QuotaPeriod,
): Promise<Settlement> {
  const { limitId, windowId } = period;
  const [{ plan, grants }, overrides, used] = await Promise.all([
    selectFacts(tx, tenant),
    selectOverridesOf(tx, tenant.uid, limitId),
    deps.usedOf(tx, { holderUid: tenant.uid, limitId, windowId }),
  ]);
  const at = Math.min(now, period.endsAt - 1);
  const limit = limitAsOf(plan, overrides, limitId, at);
  return { period, at, limit, used, grants: grants.filter((grant) => grant.limitId === limitId) };
}

/** Writes a grant that has changed. */
export async function writeGrant(
  { tx, now, record }: Mutation,
  tenant: Tenant,
  before: QuotaGrant,
  changed: QuotaGrant,
): Promise<QuotaGrant> {
  const after = { ...changed, revision: before.revision + 1, updatedAt: now };
  await updateGrantRow(tx, after);
  const owner = { tenantUid: tenant.uid, integratorUid: tenant.integratorUid };
  record({ noun: "quotaGrant", resource: grantName(after), ...owner, auditView: grantView, before, after });
  return after;
}

async function writePeriod(
  { tx, record }: Mutation,
  tenant: Tenant,
  before: QuotaPeriod | undefined,
  changed: QuotaPeriod | undefined,
): Promise<object> {
  const named = changed ?? before;
  if (!named) return {};
  const after = changed && { ...changed, revision: (before?.revision ?? 0) + 1 };
  if (after) await upsertPeriod(tx, after);
  else await deletePeriodRow(tx, tenant.uid, named.limitId);
  record({
    noun: "quotaPeriod",
    resource: periodName(named),
    tenantUid: tenant.uid,
    integratorUid: tenant.integratorUid,
    auditView: periodAuditView,
    before: before ?? null,
    after: after ?? null,
  });
  return {};
}
