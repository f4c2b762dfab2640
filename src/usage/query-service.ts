import { type Ctx, rowScope } from "../context.ts";
import { invalidField, notFound } from "../errors.ts";
import { selectIntegrator } from "../integrator/store.ts";
import { type Meter, meterName } from "../meter/meter.ts";
import { selectMeter } from "../meter/store.ts";
import { type MutationDeps, remainingMs } from "../mutation.ts";
import { type Queryable, readAs } from "../platform/postgres.ts";
import { selectTenant } from "../tenant/store.ts";
import { selectGroups, selectMinutes, selectUniques, selectUsage, type UsageRow } from "./bucket-store.ts";
import { selectFolded, selectWatermark } from "./event-store.ts";
import { countingMeters, type FoldDeps } from "./fold-service.ts";
import { measure, otherGroup } from "./measure.ts";
import { addUp, type Difference, differences } from "./recount.ts";
import { grainFor, type Window } from "./window.ts";

/** What a caller asks. */
export interface UsageQuestion {
  readonly meterId: string;
  readonly scope: { readonly kind: "tenant" | "integrator"; readonly id: string } | undefined;
  readonly startAt: number;
  readonly endAt: number;
  readonly window: Window;
  readonly timeZone: string;
  /** The zone's offsets from UTC within the range. */
  readonly offsetsMs: readonly number[];
  readonly groupBy: readonly string[];
  readonly top: number;
}

/** Rows of one answer: some hundred kilobytes; ask for longer windows or fewer groups. */
const ROWS_MAX = 10_000;

/** Answers a question, with the instant up to which it counts everything. Throws RESOURCE_NOT_FOUND and INVALID_FIELDS. */
export function queryUsage(
  deps: Pick<MutationDeps, "sql" | "clock">,
  ctx: Ctx,
  question: UsageQuestion,
): Promise<{ rows: UsageRow[]; watermarkAt: number }> {
  return readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), async (tx) => {
    const meter = await requireCounting(tx, question.meterId);
    const { eventSource } = meter;
    const unknown = question.groupBy.find((name) => name !== "tenant" && !Object.hasOwn(eventSource.dimensions, name));
    if (unknown !== undefined) throw invalidField("dimensions", `"${unknown}" is no dimension of the meter`);
    const grain = grainFor(question.window, question, question.offsetsMs);
    const unique = eventSource.aggregation === "UNIQUE_COUNT";
    if (unique && grain === "minute") {
      throw invalidField(
        "window",
        "different values are counted in whole hours: windows and range must begin with one",
      );
    }
    const query = {
      ...question,
      ...(await scopeOf(tx, question.scope)),
      aggregation: eventSource.aggregation,
      grain,
    };
    const rows = await (unique ? selectUniques : selectUsage)(tx, query, ROWS_MAX + 1);
    if (rows.length > ROWS_MAX) {
      throw invalidField("window", `the answer has more than ${ROWS_MAX} rows: ask for less, or for longer windows`);
    }
    return { rows: topGroups(rows, question.top), watermarkAt: await selectWatermark(tx, deps.clock.now()) };
  });
}

/** Counts a tenant's folded events anew and tells where the roll-ups differ. Throws RESOURCE_NOT_FOUND. */
export function verifyUsage(
  deps: Pick<FoldDeps, "sql" | "clock">,
  ctx: Ctx,
  range: { tenantId: string; meterId: string; startAt: number; endAt: number },
): Promise<{ differences: Difference[]; eventCount: number; watermarkAt: number }> {
  return readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), async (tx) => {
    const { eventSource } = await requireCounting(tx, range.meterId);
    const { tenantUid } = await scopeOf(tx, { kind: "tenant", id: range.tenantId });
    if (tenantUid === undefined) throw notFound("Tenant", `tenants/${range.tenantId}`);
    const span = { ...range, tenantUid };
    const meters = (await countingMeters(tx)).filter(({ meterId }) => meterId === range.meterId);
    const events = await selectFolded(tx, span);
    const groups = new Set((await selectGroups(tx, [span])).map(({ groupKey }) => groupKey));
    const other = otherGroup(eventSource);
    const counted = addUp(
      eventSource.aggregation,
      events.flatMap(({ at, ...event }) =>
        measure(meters, event).map((found) => ({
          ...found,
          at,
          groupKey: groups.has(found.groupKey) ? found.groupKey : other,
        })),
      ),
    );
    const found = differences(eventSource.aggregation, await selectMinutes(tx, span), counted);
    return { differences: found, eventCount: events.length, watermarkAt: await selectWatermark(tx, deps.clock.now()) };
  });
}

async function requireCounting(sql: Queryable, meterId: string) {
  const meter = await selectMeter(sql, meterId);
  if (!meter) throw notFound("Meter", meterName(meterId));
  if (!isCounting(meter)) throw invalidField("meter", `${meterName(meterId)} counts no usage events`);
  return meter;
}

function isCounting(meter: Meter): meter is Meter & { eventSource: NonNullable<Meter["eventSource"]> } {
  return meter.eventSource !== null;
}

async function scopeOf(sql: Queryable, scope: UsageQuestion["scope"]) {
  const none = { tenantUid: undefined, integratorUid: undefined };
  if (!scope) return none;
  if (scope.kind === "tenant") {
    const tenant = await selectTenant(sql, scope.id);
    if (!tenant) throw notFound("Tenant", `tenants/${scope.id}`);
    return { ...none, tenantUid: tenant.uid };
  }
  const integrator = await selectIntegrator(sql, scope.id);
  if (!integrator) throw notFound("Integrator", `integrators/${scope.id}`);
  return { ...none, integratorUid: integrator.uid };
}

// Those that used most over all windows; the exact sums decide, not their order as texts.
function topGroups(rows: readonly UsageRow[], top: number): UsageRow[] {
  if (top === 0) return [...rows];
  const totals = new Map<string, number>();
  for (const row of rows) {
    const name = JSON.stringify(row.group);
    totals.set(name, (totals.get(name) ?? 0) + Number(row.value));
  }
  const kept = new Set(
    [...totals]
      .sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
      .slice(0, top)
      .map(([name]) => name),
  );
  return rows.filter((row) => kept.has(JSON.stringify(row.group)));
}
