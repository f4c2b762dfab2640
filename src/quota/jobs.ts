import { type Ctx, systemCtx } from "../context.ts";
import { DomainError } from "../errors.ts";
import type { Job } from "../platform/job.ts";
import { dueGrants, endGrant, type GrantDeps } from "./grant-service.ts";
import { dueOverrides, endOverride } from "./override-service.ts";
import { cutPeriods, duePeriods, settlePeriod, unopenedPeriods } from "./period-service.ts";

/** The job that settles periods; it is woken with a tenant's id when a period on record is of a rule that is gone. */
export const SETTLE_PERIODS = "settle-quota-periods";

/** Of one step; between steps a stop is heeded. */
const BATCH = 500;
/** Writes at once: a month's end has one for each tenant whose limits roll over, and others use the database too. */
const LANES = 8;
/** Overrides do not count from the moment they end; that it is on record only lets nodes forget them. */
const OVERRIDES_EVERY_MS = 60_000;
/** Until it is on record what the use has reached of a grant that ended, nothing of it counts. */
const GRANTS_EVERY_MS = 10_000;
/** A limit that is new rolls over from the period in which this finds it. */
const OPEN_EVERY_MS = 60_000;
/** Until a period is settled, the next one goes without its rollover and the grants that may be used up. */
const PERIODS_EVERY_MS = 10_000;

/** The background work on limits: what has ended is put on record, and periods that are over are settled. */
export function quotaJobs(deps: GrantDeps): Job[] {
  return [
    {
      name: "end-quota-overrides",
      everyMs: OVERRIDES_EVERY_MS,
      run: (_, signal) => {
        const ctx = jobCtx("end-quota-overrides", signal);
        return doAll(
          ctx,
          () => dueOverrides(deps, ctx, BATCH),
          (ref) => endOverride(deps, ctx, ref),
        );
      },
    },
    {
      name: "end-quota-grants",
      everyMs: GRANTS_EVERY_MS,
      run: (_, signal) => {
        const ctx = jobCtx("end-quota-grants", signal);
        return doAll(
          ctx,
          () => dueGrants(deps, ctx, BATCH),
          (ref) => endGrant(deps, ctx, ref),
        );
      },
    },
    {
      name: "open-quota-periods",
      everyMs: OPEN_EVERY_MS,
      run: (_, signal) => {
        const ctx = jobCtx("open-quota-periods", signal);
        return doAll(
          ctx,
          () => unopenedPeriods(deps, ctx, BATCH),
          (ref) => settlePeriod(deps, ctx, ref),
        );
      },
    },
    {
      name: SETTLE_PERIODS,
      everyMs: PERIODS_EVERY_MS,
      run: (tenantId, signal) => {
        const ctx = jobCtx(SETTLE_PERIODS, signal);
        if (tenantId !== undefined) return cutPeriods(deps, ctx, tenantId).catch(ignoreMissing);
        return doAll(
          ctx,
          () => duePeriods(deps, ctx, BATCH),
          (ref) => settlePeriod(deps, ctx, ref),
        );
      },
    },
  ];
}

function jobCtx(method: string, signal: AbortSignal): Ctx {
  return { ...systemCtx("system/quota", method), signal };
}

// One that fails does not keep the others waiting; the next run meets it again.
async function doAll<T>(ctx: Ctx, due: () => Promise<readonly T[]>, handle: (item: T) => Promise<void>): Promise<void> {
  const failures: unknown[] = [];
  let found: readonly T[];
  do {
    found = await due();
    const items = found.values();
    const lane = async () => {
      for (const item of items) {
        if (ctx.signal.aborted) return;
        await handle(item)
          .catch(ignoreMissing)
          .catch((error: unknown) => failures.push(error));
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  } while (found.length === BATCH && failures.length === 0 && !ctx.signal.aborted);
  if (failures.length > 0) throw new AggregateError(failures, `${failures.length} of ${found.length} failed`);
}

// What was purged meanwhile is not due any more.
function ignoreMissing(error: unknown): void {
  if (!(error instanceof DomainError) || error.reason !== "RESOURCE_NOT_FOUND") throw error;
}
