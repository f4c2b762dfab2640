import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Limit, LimitRule } from "../../src/limit.ts";
import type { QuotaGrant, QuotaPeriod } from "../../src/quota/grant.ts";
import { windowAt } from "../../src/quota/period.ts";
import { type QuotaFacts, resolveLimits } from "../../src/quota/resolve.ts";
import { runningPeriod, settle, usableAtEnd } from "../../src/quota/settle.ts";
import { limitOf } from "../support/limit.ts";
import { grantOf } from "./support/grant.ts";

/** Seen on failure by fast-check; SEED=<number> repeats a run. */
const SEED = process.env.SEED ? { seed: Number(process.env.SEED) } : {};

const ORIGIN = { uid: "t1", tenantId: "acme", timeZone: "Europe/Berlin", createdAt: Date.UTC(2026, 0, 31) };

function limit(amount: bigint, rolloverMax: bigint): Limit {
  const rule: LimitRule = { kind: "PERIOD", duration: "P1M", anchor: "ANNIVERSARY", rolloverMax: String(rolloverMax) };
  return limitOf({ limitId: "messages", meter: "messages", amount: String(amount), rule });
}

const grant = (grantId: string, amount: bigint, parts: Partial<QuotaGrant> = {}) =>
  grantOf(amount, { ...parts, grantId });

function period(parts: Partial<QuotaPeriod> = {}): QuotaPeriod {
  const running = runningPeriod(ORIGIN, limit(100n, 50n), true, ORIGIN.createdAt);
  if (!running) throw new Error("a limit with a rollover has a period");
  return { ...running, ...parts };
}

describe("a settlement", () => {
  const base = { at: period().endsAt - 1, limit: limit(100n, 50n) };

  it("debits what was used beyond the limit's own amount, and nothing of grants that began later or are over", () => {
    const grants = [
      grant("later", 10n, { startsAt: period().endsAt }),
      grant("over", 10n, { usedAmount: "10" }),
      grant("a", 10n),
      grant("b", 10n, { priority: 1 }),
    ];
    const { rollover, grants: changed } = settle({ ...base, period: period(), used: 115n, grants });
    expect([rollover, changed.map(({ after }) => [after.grantId, after.usedAmount])]).toEqual([
      0n,
      [
        ["a", "10"],
        ["b", "5"],
      ],
    ]);
  });

  it("leaves nothing of grants that ended within the period", () => {
    const grants = [
      grant("voided", 10n, { ended: true, usableAmount: "4" }),
      grant("expired", 10n, { expiresAt: period().endsAt, priority: 1 }),
      grant("lasting", 10n, { expiresAt: period().endsAt + 1, priority: 2 }),
    ];
    const { grants: changed } = settle({ ...base, period: period(), used: 102n, grants });
    expect(
      changed.map(({ after: { grantId, usedAmount, usableAmount, ended } }) => [
        grantId,
        usedAmount,
        usableAmount,
        ended,
      ]),
    ).toEqual([
      ["voided", "2", "2", true],
      ["expired", "0", "0", true],
    ]);
  });

  it("goes by what the limit was when it counts by another rule by now, or is gone", () => {
    const other = limit(1n, 50n);
    const daily = { ...other, rule: { ...other.rule, duration: "P1D" } as LimitRule };
    const outcomes = [daily, undefined].map((now) =>
      settle({ ...base, limit: now, period: period({ rolloverAmount: "5" }), used: 107n, grants: [grant("a", 10n)] }),
    );
    expect(outcomes.map(({ rollover, grants }) => [rollover, grants[0]?.after.usedAmount])).toEqual([
      [0n, "2"],
      [0n, "2"],
    ]);
  });

  it("lets a grant that ends keep what the use has reached of it, and without a period nothing", () => {
    const [first, second] = [grant("a", 10n, { usedAmount: "3" }), grant("b", 10n, { priority: 1 })];
    const settlement = { ...base, period: period(), used: 109n, grants: [second, first] };
    expect([usableAtEnd(settlement, first), usableAtEnd(settlement, second), usableAtEnd(undefined, first)]).toEqual([
      "10",
      "2",
      "3",
    ]);
  });
});

const amounts = fc.bigInt({ min: 0n, max: 1_000n });
const months = fc.array(
  fc.record({ share: fc.nat(120), given: fc.option(amounts), priority: fc.nat(3), lasts: fc.option(fc.nat(3)) }),
  { minLength: 1, maxLength: 14 },
);

describe("months of any use, with grants of any kind", () => {
  it("never give more than the limit's own amounts and the grants, and use each grant once", () => {
    fc.assert(
      fc.property(amounts, amounts, months, (amount, rolloverMax, story) => {
        const planned = limit(amount, rolloverMax);
        let grants: QuotaGrant[] = [];
        let running = period({ rolloverAmount: "0" });
        let allUsed = 0n;
        let allGiven = 0n;
        for (const [index, { share, given, priority, lasts }] of story.entries()) {
          const expiresAt = lasts === null ? null : windowOf(index + lasts).endAt;
          if (given)
            grants.push(
              grant(`g${index}`, given, { startsAt: running.startsAt, createdAt: index, priority, expiresAt }),
            );
          allGiven += given ?? 0n;
          const [resolved] = resolveLimits(factsOf(planned, grants, running), { now: running.startsAt, windowAt });
          // A HARD limit admits no more; what had happened already may come on top.
          const may = resolved?.effective.amount ?? 0n;
          const used = (may * BigInt(share)) / 100n;
          const before = grants;
          const outcome = settle({ period: running, at: running.endsAt - 1, limit: planned, used, grants });
          grants = grants.map((known) => outcome.grants.find(({ before: of }) => of === known)?.after ?? known);
          const debited = sum(grants) - sum(before);
          const own = amount + BigInt(running.rolloverAmount);
          const beyond = used > own ? used - own : 0n;
          expect(debited).toBe(share > 100 ? may - own : beyond);
          expect(outcome.rollover).toBeLessThanOrEqual(rolloverMax);
          allUsed += used < may ? used : may;
          expect(allUsed).toBeLessThanOrEqual(amount * BigInt(index + 1) + allGiven);
          const { id, startAt, endAt } = windowOf(index + 1);
          running = {
            ...running,
            windowId: id,
            startsAt: startAt,
            endsAt: endAt,
            rolloverAmount: String(outcome.rollover),
          };
        }
        for (const { amount: whole, usableAmount, usedAmount } of grants) {
          expect(BigInt(usedAmount)).toBeLessThanOrEqual(BigInt(usableAmount));
          expect(BigInt(usableAmount)).toBeLessThanOrEqual(BigInt(whole));
        }
      }),
      { numRuns: 300, ...SEED },
    );
  });
});

function windowOf(index: number) {
  const rule = { duration: "P1M", anchor: "ANNIVERSARY" } as const;
  let window = windowAt(rule, ORIGIN, ORIGIN.createdAt);
  for (let i = 0; i < index; i += 1) window = windowAt(rule, ORIGIN, window.endAt);
  return window;
}

function factsOf(planned: Limit, grants: readonly QuotaGrant[], running: QuotaPeriod): QuotaFacts {
  const tenant = { ...ORIGIN, planId: "p", planVersion: 1, state: "ACTIVE" as const, epoch: 1 };
  return { tenant, plan: { limits: [planned] }, overrides: [], grants, periods: [running], integrator: undefined };
}

function sum(grants: readonly QuotaGrant[]): bigint {
  return grants.reduce((total, { usedAmount }) => total + BigInt(usedAmount), 0n);
}
