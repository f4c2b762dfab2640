import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  faded,
  roll,
  type SlidingState,
  slidingEmptyMs,
  slidingRetryMs,
} from "../../../src/quota/hot/sliding-window.ts";

/** Seen on failure by fast-check; SEED=<number> repeats a run. */
const SEED = process.env.SEED ? { seed: Number(process.env.SEED) } : {};

const used = (state: SlidingState, windowMs: number, now: number) => {
  const rolled = roll(state, windowMs, now);
  return rolled.count + faded(rolled, windowMs, now);
};

describe("a sliding window", () => {
  // Cloudflare's example: 42 in the minute before, 18 in the first quarter of this one; three quarters of the 42 count.
  it.each([
    [{ startAt: 60_000, count: 18, before: 42 }, 75_000, 50],
    [{ startAt: 60_000, count: 18, before: 42 }, 60_000, 60],
    [{ startAt: 60_000, count: 18, before: 42 }, 119_999, 19],
    [{ startAt: 60_000, count: 18, before: 42 }, 120_000, 18],
    [{ startAt: 60_000, count: 18, before: 42 }, 150_000, 9],
    [{ startAt: 60_000, count: 18, before: 42 }, 180_000, 0],
    [{ startAt: 60_000, count: 18, before: 42 }, 900_000, 0],
    [{ startAt: 60_000, count: 18, before: 42 }, 30_000, 60],
  ])("%o weighs at %d", (state, now, expected) => {
    expect(used(state, 60_000, now)).toBe(expected);
  });

  it("is exact, and never rounds in the caller's favour", () => {
    const states = fc.record({
      windowMs: fc.integer({ min: 1, max: 86_400_000 }),
      before: fc.maxSafeInteger().map(Math.abs),
      elapsed: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(states, ({ windowMs, before, elapsed }) => {
        const elapsedMs = Math.min(windowMs - 1, Math.floor(elapsed * windowMs));
        const weight = faded({ startAt: 0, count: 0, before }, windowMs, elapsedMs);
        const exact = BigInt(before) * BigInt(windowMs - elapsedMs);
        expect([BigInt(weight) * BigInt(windowMs) >= exact, (BigInt(weight) - 1n) * BigInt(windowMs) < exact]).toEqual([
          true,
          true,
        ]);
      }),
      SEED,
    );
  });

  it("names the first millisecond at which a request fits, and at which nothing is used", () => {
    const cases = fc.record({
      windowMs: fc.integer({ min: 1, max: 500 }),
      count: fc.nat({ max: 60 }),
      before: fc.nat({ max: 60 }),
      limit: fc.nat({ max: 60 }),
      cost: fc.nat({ max: 60 }),
      elapsedMs: fc.nat({ max: 499 }),
    });
    fc.assert(
      fc.property(cases, ({ windowMs, count, before, limit, cost, elapsedMs }) => {
        const state = { startAt: 10 * windowMs, count, before };
        const now = state.startAt + (elapsedMs % windowMs);
        const retryMs = slidingRetryMs(state, windowMs, limit, cost, now);
        const emptyMs = slidingEmptyMs(state, windowMs, now);
        const fits = (ms: number) => used(state, windowMs, now + ms) + cost <= limit;
        if (retryMs === undefined) expect(cost).toBeGreaterThan(limit);
        else expect([fits(retryMs), retryMs > 0 && fits(retryMs - 1)]).toEqual([true, false]);
        expect(used(state, windowMs, now + emptyMs)).toBe(0);
        if (emptyMs > 0 && count + before > 0) expect(used(state, windowMs, now + emptyMs - 1)).toBeGreaterThan(0);
      }),
      SEED,
    );
  });
});
