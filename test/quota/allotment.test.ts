import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { blockSize, emptyAllotment, give, type PastEpoch, settle, takeBack } from "../../src/quota/allotment.ts";

/** Seen on failure by fast-check; SEED=<number> repeats a run. */
const SEED = process.env.SEED ? { seed: Number(process.env.SEED) } : {};
const want = (needed: number, ahead: number, cap: number, epoch = 1, forced = false) => ({
  ...{ needed, ahead, epoch, forced },
  cap: BigInt(cap),
});

describe("an allotment", () => {
  it("gives what is needed and some ahead, up to the cap, and the last unit exactly", () => {
    const first = give(emptyAllotment(0, 1), want(5, 20, 30), 0n).row;
    const second = give(first, want(26, 20, 30), 0n).row;
    const same = give(second, want(31, 20, 30), 0n).row;
    expect([first.given, second.given, same === second]).toEqual([25n, 30n, true]);
  });

  it("turns the page: all that an epoch was given counts, until it is settled", () => {
    const { row, ended } = give({ ...emptyAllotment(0, 1), given: 40n }, want(10, 0, 100, 2), 0n);
    const settled = settle(row, ended as PastEpoch, 12n);
    expect([row.base, row.given, ended?.counted, settled.row.base]).toEqual([40n, 10n, 40n, 12n]);
    expect(give(row, want(10, 0, 100, 1), 0n).row).toBe(row);
  });

  it("takes nothing back when something was given meanwhile", () => {
    const row = { ...emptyAllotment(0, 1), given: 40n, grantNumber: 3 };
    expect([takeBack(row, 1, 3, 10).given, takeBack(row, 1, 2, 10), takeBack(row, 2, 3, 10)]).toEqual([10n, row, row]);
  });

  it("has never given more than the cap, whatever is lost, settled and asked for", () => {
    const steps = fc.array(
      fc.record({
        needed: fc.nat({ max: 60 }),
        ahead: fc.nat({ max: 30 }),
        loses: fc.boolean(),
        share: fc.nat({ max: 100 }),
      }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(steps, fc.nat({ max: 200 }), (taken, cap) => {
        let [row, epoch] = [emptyAllotment(0, 1), 1];
        const past: { past: PastEpoch; spent: bigint }[] = [];
        let spentBefore = 0n;
        for (const { needed, ahead, loses, share } of taken) {
          if (loses) epoch += 1;
          const before = row;
          const given = give(row, want(needed, ahead, cap, epoch), 0n);
          row = given.row;
          if (given.ended) {
            // Of what the lost epoch was given some was spent; nobody knows how much until it is settled.
            const spent = (before.given * BigInt(share)) / 100n;
            spentBefore += spent;
            past.push({ past: given.ended, spent });
          }
          const due = share < 30 ? past.pop() : undefined;
          if (due) row = settle(row, due.past, due.spent).row;
          expect([row.base + row.given <= BigInt(cap), spentBefore + row.given <= BigInt(cap)]).toEqual([true, true]);
        }
      }),
      SEED,
    );
  });

  it("asks for less the less is left", () => {
    expect([blockSize(0, 2, 1e9), blockSize(10, 1, 1e9), blockSize(10, 1, 1_000), blockSize(10, 1, 9)]).toEqual([
      32, 50_000, 100, 0,
    ]);
  });
});
