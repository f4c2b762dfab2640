import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type GcraRate,
  type GcraState,
  gcraEmptyMs,
  gcraRetryMs,
  gcraUsed,
  leak,
} from "../../../src/quota/hot/gcra.ts";

/** Seen on failure by fast-check; SEED=<number> repeats a run. */
const SEED = process.env.SEED ? { seed: Number(process.env.SEED) } : {};

const EMPTY: GcraState = { level: 0, rest: 0, at: 0 };

/** What a limiter of ours does with one request: consumes when it fits, tells what is left. */
function request(state: GcraState, rate: GcraRate, limit: number, now: number, cost: number) {
  const before = leak(state, rate, now);
  const isLimited = gcraUsed(before) + cost > limit;
  const after = isLimited ? before : { ...before, level: before.level + cost };
  const retryMs = isLimited ? (gcraRetryMs(before, rate, limit, cost) ?? "never") : "fits";
  return { after, seen: [isLimited, limit - gcraUsed(after), gcraEmptyMs(after, rate), retryMs] };
}

describe("GCRA", () => {
  // What redis-cell promises of five at once and one a second, in the order of its own table.
  it("answers as redis-cell does", () => {
    const rows: [now: number, cost: number, ...seen: unknown[]][] = [
      [0, 6, true, 5, 0, "never"],
      [0, 1, false, 4, 1_000, "fits"],
      [0, 1, false, 3, 2_000, "fits"],
      [0, 1, false, 2, 3_000, "fits"],
      [0, 1, false, 1, 4_000, "fits"],
      [0, 1, false, 0, 5_000, "fits"],
      [0, 1, true, 0, 5_000, 1_000],
      [3_000, 1, false, 2, 3_000, "fits"],
      [3_100, 1, false, 1, 3_900, "fits"],
      [4_000, 1, false, 1, 4_000, "fits"],
      [8_000, 1, false, 4, 1_000, "fits"],
      [9_500, 1, false, 4, 1_000, "fits"],
      [9_500, 0, false, 4, 1_000, "fits"],
      [9_500, 2, false, 2, 3_000, "fits"],
      [9_500, 5, true, 2, 3_000, 3_000],
    ];
    let state = EMPTY;
    const seen = rows.map(([now, cost]) => {
      const answer = request(state, { amount: 1, windowMs: 1_000 }, 5, now, cost);
      state = answer.after;
      return [now, cost, ...answer.seen];
    });
    expect(seen).toEqual(rows);
  });

  it("never gets its level back from a clock that went back", () => {
    const state = { level: 3, rest: 5, at: 1_000 };
    expect(leak(state, { amount: 1, windowMs: 10 }, 400)).toEqual(state);
  });

  it("has nothing to wait for when nothing leaks", () => {
    const rate = { amount: 0, windowMs: 1_000 };
    expect([gcraRetryMs({ ...EMPTY, level: 5 }, rate, 5, 1), gcraEmptyMs({ ...EMPTY, level: 5 }, rate)]).toEqual([
      undefined,
      undefined,
    ]);
  });

  const rates = fc.record({
    amount: fc.oneof(fc.integer({ min: 1, max: 1_000 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })),
    windowMs: fc.oneof(fc.integer({ min: 1, max: 5_000 }), fc.integer({ min: 1, max: 86_400_000 })),
  });

  it("is exact: the level is that of endless fractions", () => {
    const steps = fc.array(
      fc.record({
        waitMs: fc.nat({ max: 200_000_000 }),
        cost: fc.oneof(fc.nat({ max: 50 }), fc.nat({ max: 2 ** 50 })),
      }),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(rates, fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), steps, (rate, limit, asked) => {
        let [now, state] = [0, EMPTY];
        // The level, times the window: what leaks in a millisecond is then a whole number.
        let exact = 0n;
        for (const { waitMs, cost } of asked) {
          now += waitMs;
          exact -= BigInt(rate.amount) * BigInt(waitMs);
          if (exact < 0n) exact = 0n;
          const answer = request(state, rate, limit, now, cost);
          const fits = exact + BigInt(cost) * BigInt(rate.windowMs) <= BigInt(limit) * BigInt(rate.windowMs);
          expect(answer.seen[0]).toBe(!fits);
          if (fits) exact += BigInt(cost) * BigInt(rate.windowMs);
          state = answer.after;
          expect(BigInt(state.level) * BigInt(rate.windowMs) + BigInt(state.rest)).toBe(exact);
        }
      }),
      SEED,
    );
  });

  it("names the first millisecond at which a request fits", () => {
    const levels = fc.record({ level: fc.nat({ max: 10_000 }), rest: fc.nat({ max: 4_999 }), at: fc.constant(0) });
    fc.assert(
      fc.property(rates, levels, fc.nat({ max: 10_000 }), fc.nat({ max: 10_000 }), (rate, level, limit, cost) => {
        const state = { ...level, rest: Math.min(level.rest, rate.windowMs - 1) };
        const retryMs = gcraRetryMs(state, rate, limit, cost);
        const fitsAt = (ms: number) => gcraUsed(leak(state, rate, ms)) + cost <= limit;
        if (retryMs === undefined) expect(cost).toBeGreaterThan(limit);
        else expect([fitsAt(retryMs), retryMs > 0 && fitsAt(retryMs - 1)]).toEqual([true, false]);
      }),
      SEED,
    );
  });
});
