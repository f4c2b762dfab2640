import { cutPage, decodePageToken, encodePageToken, pageSize, type Seal } from "../aip/page.ts";
import { type Ctx, rowScope } from "../context.ts";
import { type MutationDeps, remainingMs } from "../mutation.ts";
import { PLATFORM_SCOPE, readAs } from "../platform/postgres.ts";
import { stateOf } from "./decision.ts";
import { compareNear, type NearLimit, positionOf, usedPercent } from "./near.ts";
import { selectLedgerTime, selectMaybeNear } from "./near-store.ts";
import type { QuotaTable } from "./table.ts";

export interface NearDeps extends Pick<MutationDeps, "sql" | "clock"> {
  readonly seal: Seal;
  readonly quotas: QuotaTable;
}

export interface NearQuery {
  /** Every limit when empty. */
  readonly limitId: string;
  readonly minPercent: number;
  /** Every integrator's tenants when empty. */
  readonly integratorId: string;
  readonly pageSize: number;
  readonly pageToken: string;
}

/** More limits near their amount than anybody works through; the fullest are among them. */
const CANDIDATES_MAX = 10_000;
/** A node that has told nothing for so long is gone; what it admitted last is not in the figures. */
const LOST_MS = 60_000;

/**
 * Lists the limits of tenants that the caller may see of which at least so much is used, the fullest first, and up to when
 * the figures count everything. Throws INVALID_FIELDS and PAGE_TOKEN_INVALID.
 */
export async function listNearLimits(deps: NearDeps, ctx: Ctx, query: NearQuery) {
  const { limitId, minPercent, integratorId } = query;
  const { sql, clock, seal } = deps;
  const size = pageSize(query.pageSize);
  const now = clock.now();
  const bound = [ctx.method, limitId, minPercent, integratorId];
  const after = decodePageToken(seal, bound, query.pageToken, now);
  const timeoutMs = remainingMs(clock, ctx);
  const at = await readAs(sql, PLATFORM_SCOPE, timeoutMs, (tx) => selectLedgerTime(tx, LOST_MS));
  const counted = await readAs(sql, rowScope(ctx.principal), timeoutMs, (tx) =>
    selectMaybeNear(tx, { limitId, minPercent, integratorId, now, limit: CANDIDATES_MAX }),
  );
  const near = counted.flatMap((row): NearLimit[] => {
    const effective = deps.quotas.quotasOf(row.tenantId)?.limits.find(({ key }) => key === `t/${row.limitId}`);
    if (!effective || (effective.window?.id ?? "") !== row.windowId) return [];
    const state = stateOf(effective, BigInt(row.used), BigInt(row.held));
    const percent = usedPercent(state);
    return percent < minPercent ? [] : [{ tenantId: row.tenantId, state, usedPercent: percent }];
  });
  const [percent, tenantId, limit] = after ?? [];
  const position = { usedPercent: Number(percent), tenantId: String(tenantId), limitId: String(limit) };
  const rest = after ? near.filter((item) => compareNear(positionOf(item), position) > 0) : near;
  rest.sort((a, b) => compareNear(positionOf(a), positionOf(b)));
  const page = cutPage(rest, size, (last) => {
    const next = positionOf(last);
    return encodePageToken(seal, bound, [next.usedPercent, next.tenantId, next.limitId], now);
  });
  return { ...page, watermarkAt: at ?? now };
}
