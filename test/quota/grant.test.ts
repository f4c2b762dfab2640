import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { inBurnOrder, type QuotaGrant, reachOf, rolloverOf } from "../../src/quota/grant.ts";
import { grantOf } from "./support/grant.ts";

/** Seen on failure by fast-check; SEED=<number> repeats a run. */
const SEED = process.env.SEED ? { seed: Number(process.env.SEED) } : {};

const grant = (grantId: string, parts: Partial<QuotaGrant>) => grantOf(100n, { ...parts, grantId });

describe("grants", () => {
  // The order that OpenMeter's engine has: priority, then the earliest expiry, then the oldest.
  it("are used up by priority, then the one that expires first, then the older one", () => {
    const grants = [
      grant("d", { priority: 1, expiresAt: 1 }),
      grant("c", {}),
      grant("b", { expiresAt: 9, createdAt: 2 }),
      grant("a", { expiresAt: 9, createdAt: 1 }),
      grant("e", { priority: 1, expiresAt: 1 }),
    ];
    expect(inBurnOrder(grants).map(({ grantId }) => grantId)).toEqual(["a", "b", "c", "d", "e"]);
  });

  it.each([
    // used, what is reached of a first grant of 100 of which 30 were used, and of a second one of 50.
    [0n, [0n, 0n]],
    [1_000n, [0n, 0n]],
    [1_050n, [0n, 0n]],
    [1_051n, [1n, 0n]],
    [1_120n, [70n, 0n]],
    [1_121n, [70n, 1n]],
    [1_170n, [70n, 50n]],
    [9_999n, [70n, 50n]],
  ] as const)("are reached after the limit's own amount and its rollover: %d used", (used, reached) => {
    const grants = [grant("second", { priority: 1, usableAmount: "50" }), grant("first", { usedAmount: "30" })];
    const reach = reachOf({ base: 1_000n, rollover: 50n, used }, grants);
    expect(reach.map((row) => row.reached)).toEqual(reached);
    expect(reach.map((row) => row.grant.grantId)).toEqual(["first", "second"]);
  });

  it("and the limit's own amount together are reached by exactly what was used, as far as they go", () => {
    const amount = fc.bigInt({ min: 0n, max: 1_000n });
    const some = fc.array(fc.record({ usable: amount, priority: fc.nat(3) }), { maxLength: 6 });
    fc.assert(
      fc.property(amount, amount, amount, some, (base, rollover, used, made) => {
        const grants = made.map(({ usable, priority }, i) =>
          grant(`g${i}`, { usableAmount: String(usable), priority }),
        );
        const total = reachOf({ base, rollover, used }, grants).reduce((sum, { reached }) => sum + reached, 0n);
        const all = made.reduce((sum, { usable }) => sum + usable, 0n);
        const beyond = used > base + rollover ? used - base - rollover : 0n;
        expect(total).toBe(beyond < all ? beyond : all);
      }),
      SEED,
    );
  });
});

describe("a rollover", () => {
  // As OpenMeter's resets have it: what is left, and at most so much.
  it.each([
    [0n, 0n, 300n, 300n],
    [900n, 0n, 300n, 100n],
    [1_000n, 0n, 300n, 0n],
    [1_500n, 0n, 300n, 0n],
    [1_100n, 300n, 300n, 200n],
    [0n, 0n, 0n, 0n],
  ])("of 1000 with %d used, %d rolled over before and at most %d is %d", (used, rollover, max, rolled) => {
    expect(rolloverOf({ base: 1_000n, rollover, used }, max)).toBe(rolled);
  });
});
