import fc from "fast-check";
import type { Redis } from "ioredis";
import { expect } from "vitest";
import { createMemoryState } from "../../../src/quota/hot/memory.ts";
import { createRedisState } from "../../../src/quota/hot/redis.ts";
import {
  type HotBatch,
  type HotHolder,
  type HotLimit,
  type HotReply,
  type HotState,
  KIND,
  MODE,
  type Mode,
} from "../../../src/quota/hot/state.ts";
import { type Ask, type AskRun, batchOf } from "./batch.ts";

/** Does the same random things to both twins at the same times, and compares every answer. SEED=<number> repeats a run. */
export async function compareTwins(client: Redis): Promise<void> {
  const seed = process.env.SEED ? { seed: Number(process.env.SEED) } : {};
  const property = fc.asyncProperty(fc.array(steps, { maxLength: 60, size: "max" }), async (acts) => {
    let now = 1_700_000_000_000;
    const redis = createRedisState(client, { now: () => now });
    const memory = createMemoryState({ now: () => now, fence: "memory" });
    const rootUid = crypto.randomUUID();
    const holders = [0, 1, 2].map((): HotHolder => ({ uid: crypto.randomUUID(), rootUid }));
    for (const { waitMs, act } of acts) {
      now += waitMs;
      const [inRedis, inMemory] = [await perform(redis, holders, act), await perform(memory, holders, act)];
      expect(inRedis).toEqual(inMemory);
    }
  });
  await fc.assert(property, { numRuns: 100, ...seed });
}

const CAPS: readonly (number | string)[] = [0, 1, 7, 20, 1_000, "9223372036854775807"];
const FIELDS = ["a", "b"];

const limits: fc.Arbitrary<HotLimit> = fc
  .record({
    kind: fc.constantFrom(...Object.values(KIND)),
    cap: fc.constantFrom(...CAPS),
    startAt: fc.constantFrom(1_000, 2_000, 3_000),
    amount: fc.constantFrom(1, 7, 1_000),
    windowMs: fc.constantFrom(1_000, 999, 60_000),
    field: fc.constantFrom(...FIELDS),
    soft: fc.boolean(),
  })
  .map(({ kind, cap, windowMs, ...rest }) => {
    const isCounter = kind === KIND.PERIOD || kind === KIND.GAUGE;
    // Another rule is another field.
    return {
      ...rest,
      kind,
      cap: isCounter || typeof cap === "number" ? cap : 50,
      windowMs,
      field: `${rest.field}${kind}${isCounter ? "" : `${windowMs}`}`,
      strict: !rest.soft,
    };
  });

const parts = fc.record({
  holder: fc.nat({ max: 2 }),
  limit: limits,
  amount: fc.constantFrom(0, 1, 2, 5, 30),
  spent: fc.nat({ max: 9 }),
  slot: fc.constantFrom("x", "y", "z"),
  epoch: fc.constantFrom(0, 1, 2),
  mark: fc.constantFrom(0, 1_000, 2_000),
});

const runs = fc.record({
  mode: fc.constantFrom<Mode>(...Object.values(MODE)),
  count: fc.constantFrom(1, 1, 1, 4),
  parts: fc.uniqueArray(parts, {
    minLength: 1,
    maxLength: 4,
    selector: ({ holder, limit }) => `${holder} ${limit.field}`,
  }),
  id: fc.option(fc.constantFrom("one", "two")),
  hash: fc.constantFrom("h1", "h1", "h2"),
  reservationId: fc.constantFrom("r1", "r2"),
});

function toRun(run: typeof runs extends fc.Arbitrary<infer T> ? T : never, holders: readonly HotHolder[]): AskRun {
  const { mode, id, hash, reservationId } = run;
  const isReservation = mode === MODE.HOLD || mode === MODE.RESOLVE;
  const refers = isReservation || mode === MODE.RELEASE;
  const isSome = mode === MODE.BEST_EFFORT || mode === MODE.TAKE_GIVEN;
  const asked = run.parts
    .filter(({ limit }) => limit.kind !== KIND.SLOTS || !isReservation)
    .map(({ holder, limit, amount, spent, slot, epoch, mark }, entry): Ask => {
      const isSlot = limit.kind === KIND.SLOTS;
      return {
        holder: holders[holder] as HotHolder,
        limit,
        amount: isSlot ? 1 : amount,
        ...(mode === MODE.RESOLVE ? { spent } : isSlot ? { slot } : isSome ? { entry: entry >> 1 } : {}),
        ...(refers ? { epoch, mark } : {}),
      };
    });
  const isAlone = isSome || refers || asked.some(({ limit }) => limit.kind === KIND.SLOTS || limit.soft);
  return {
    mode,
    count: isAlone || id !== null ? 1 : run.count,
    parts: asked,
    ...(isReservation ? { reservationId } : {}),
    ...(id !== null && !isReservation
      ? { id: { holder: holders[0] as HotHolder, id, hash: `${hash} ${JSON.stringify([mode, run.parts])}` } }
      : {}),
  };
}

const decide = fc.record({ do: fc.constant("decide" as const), runs: fc.array(runs, { minLength: 1, maxLength: 6 }) });
const raise = fc.record({
  do: fc.constant("raise" as const),
  holder: fc.nat({ max: 2 }),
  limit: limits.filter(({ kind }) => kind <= KIND.GAUGE),
  epoch: fc.constantFrom(1, 1, 2),
  grant: fc.nat({ max: 9 }),
  given: fc.constantFrom(0, 5, 40, 1_000),
  base: fc.constantFrom<number | string>(0, 0, 3, -4, "9223372036854775000"),
  mark: fc.constantFrom(0, 1_000, 2_000, 3_000),
});
const install = fc.record({
  do: fc.constant("install" as const),
  holder: fc.nat({ max: 2 }),
  epoch: fc.constantFrom(1, 1, 1, 2),
  wasLost: fc.boolean(),
});
const lower = fc.record({
  do: fc.constant("lower" as const),
  holder: fc.nat({ max: 2 }),
  field: fc.constantFrom("a1", "b2"),
  keep: fc.nat({ max: 3 }),
});

const steps = fc.record({
  waitMs: fc.constantFrom(0, 0, 1, 17, 500, 40_000, 200_000),
  act: fc.oneof(
    { arbitrary: decide, weight: 6 },
    { arbitrary: raise, weight: 4 },
    { arbitrary: install, weight: 2 },
    { arbitrary: lower, weight: 1 },
  ),
});

type Act = typeof steps extends fc.Arbitrary<infer T> ? (T extends { act: infer A } ? A : never) : never;

async function perform(state: HotState, holders: readonly HotHolder[], act: Act): Promise<unknown> {
  if (act.do === "decide") {
    const batch = batchOf(act.runs.map((run) => toRun(run, holders)).filter((run) => run.parts.length > 0));
    return visible(batch, await state.decide(batch));
  }
  const holder = holders[act.holder] as HotHolder;
  if (act.do === "install") return state.install(holder, act.epoch, act.wasLost);
  if (act.do === "lower") return state.lower(holder, 1, act.field, act.keep);
  const { limit, epoch, mark, grant, base, given } = act;
  const { field, kind, startAt } = limit;
  const grants = [{ field, kind, mark: kind === KIND.PERIOD ? startAt : mark, grant, base, given }];
  return state.raise(holder, epoch, grants);
}

// What is known of a cold holder's limits means nothing.
function visible(batch: HotBatch, { fence: _, ...reply }: HotReply) {
  const facts = reply.limits.map((limit, index) =>
    reply.epochs[batch.limits[index]?.holder ?? 0] ? limit : undefined,
  );
  return { ...reply, limits: facts };
}
