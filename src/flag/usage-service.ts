import { cutPage, decodePageToken, encodePageToken, pageSize } from "../aip/page.ts";
import { type Ctx, systemCtx, withFacts } from "../context.ts";
import { mutate } from "../mutation.ts";
import { type FlagDeps, type PageInput, readFor } from "./base-service.ts";
import { deleteFinishedSchedules } from "./schedule-store.ts";
import { type FlagUse, type StaleReason, staleReasons, type Usage, type UsageCounter } from "./usage.ts";
import { addUsage, deleteUsageBefore, selectFlagUse } from "./usage-store.ts";

/**
 * Writes down how often flags were evaluated, once for each request id; answers how many of the counts were of flags that are
 * not there. The caller may have no eyes for the flags and their counts: what it may report on was checked before.
 */
export async function recordUsage(deps: FlagDeps, ctx: Ctx, usages: readonly Usage[]): Promise<number> {
  const { bindings } = systemCtx("", "").principal;
  const own = withFacts(ctx, { principal: { actor: ctx.principal.actor, bindings } });
  const { value } = await mutate(deps, own, USAGE_ROOT, async ({ tx }) => ({ dropped: await addUsage(tx, usages) }));
  return value.dropped;
}

/** Writes down what this node has evaluated itself. */
export async function flushUsage(deps: FlagDeps, counter: UsageCounter): Promise<void> {
  const usages = counter.take();
  if (usages.length > 0) await recordUsage(deps, systemCtx("system/flags", "flush-flag-usage"), usages);
}

export interface StaleFlag extends FlagUse {
  readonly reasons: readonly StaleReason[];
}

/** Lists flags that may be removed, by key. Throws PAGE_TOKEN_INVALID. */
export async function listStaleFlags(
  deps: FlagDeps,
  ctx: Ctx,
  input: PageInput & { readonly unusedForMs: number; readonly owner: string | undefined },
) {
  const now = deps.clock.now();
  const since = now - input.unusedForMs;
  const size = pageSize(input.pageSize);
  const query = [ctx.method, input.unusedForMs, input.owner ?? ""];
  const [start = ""] = decodePageToken(deps.seal, query, input.pageToken, now) ?? [];
  const stale: StaleFlag[] = [];
  await readFor(deps, ctx, async (tx) => {
    let after = String(start);
    for (let more = true; more && stale.length <= size; ) {
      const uses = await selectFlagUse(tx, { since, owner: input.owner, after, limit: USE_BATCH });
      for (const use of uses) {
        const reasons = staleReasons(use, since, now);
        if (reasons.length > 0) stale.push({ ...use, reasons });
      }
      after = uses.at(-1)?.flagKey ?? after;
      more = uses.length === USE_BATCH;
    }
  });
  return cutPage(stale, size, (last) => encodePageToken(deps.seal, query, [last.flagKey], now));
}

/** Forgets counts and finished schedules that nobody asks for any more. */
export async function forgetOldUsage(deps: FlagDeps, ctx: Ctx): Promise<void> {
  await mutate(deps, ctx, USAGE_ROOT, async ({ tx, now }) => {
    await deleteUsageBefore(tx, now - USAGE_KEPT_MS);
    await deleteFinishedSchedules(tx, now - SCHEDULES_KEPT_MS);
    return {};
  });
}

/** Writers of counts take turns: they would meet in the same rows anyway, and in changing order. */
const USAGE_ROOT = "flagUsage";
/** Flags looked at in one step. */
const USE_BATCH = 500;
/** A year, and a month to look back on it. */
const USAGE_KEPT_MS = 396 * 86_400_000;
/** A quarter. */
const SCHEDULES_KEPT_MS = 92 * 86_400_000;
