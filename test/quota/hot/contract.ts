import { beforeEach, describe, expect, it } from "vitest";
import {
  type HotHolder,
  type HotLimit,
  type HotOutcome,
  type HotState,
  KIND,
  MODE,
} from "../../../src/quota/hot/state.ts";
import { type Ask, type AskRun, batchOf, gauge, gcra, period, sliding, slots } from "./batch.ts";

/** A hot state whose time the test moves. */
export interface TestState {
  readonly state: HotState;
  advance(ms: number): void;
}

/** What every twin of the hot state does. */
export function describeHotState(name: string, make: () => TestState): void {
  let state: HotState;
  let advance: (ms: number) => void;
  let tenant: HotHolder;
  let integrator: HotHolder;

  beforeEach(async () => {
    ({ state, advance } = make());
    const rootUid = crypto.randomUUID();
    tenant = { uid: crypto.randomUUID(), rootUid };
    integrator = { uid: rootUid, rootUid };
    await state.install(tenant, 1, false);
    await state.install(integrator, 1, false);
  });

  const give = (limit: HotLimit, given: number, rest: { grant?: number; base?: number | string; mark?: number } = {}) =>
    state.raise(tenant, 1, [
      {
        field: limit.field,
        kind: limit.kind,
        mark: rest.mark ?? (limit.kind === KIND.PERIOD ? limit.startAt : 0),
        grant: rest.grant ?? 1,
        base: rest.base ?? 0,
        given,
      },
    ]);
  const of = (limit: HotLimit, amount = 1, rest: Partial<Ask> = {}): Ask => ({
    holder: tenant,
    limit,
    amount,
    ...rest,
  });
  const runAll = async (...runs: AskRun[]) => (await state.decide(batchOf(runs))).outcomes;
  const run = async (ask: AskRun): Promise<HotOutcome> => (await runAll(ask))[0] as HotOutcome;
  const consume = (...parts: Ask[]) => run({ mode: MODE.CONSUME, parts });
  /** An outcome in one line: status, or how many fit, and what was found used. */
  const brief = (outcome: HotOutcome) =>
    "fit" in outcome
      ? `${outcome.status === "REPLAYED" ? "again " : ""}${outcome.fit}/${outcome.capFit} of ${outcome.found.map(({ used, held }) => (held ? `${used}+${held}` : used)).join(",")}`
      : outcome.status;
  const briefly = async (...parts: Ask[]) => brief(await consume(...parts));
  const used = async (...limits: HotLimit[]) => {
    const outcome = await run({ mode: MODE.CHECK_ONLY, parts: limits.map((limit) => of(limit, 0)) });
    return "found" in outcome ? outcome.found.map((found) => found.used) : outcome.status;
  };

  describe(name, () => {
    describe("a count of what was given", () => {
      it("admits what was given, then asks for more, and refuses at the cap", async () => {
        await give(period(10), 4);
        expect([
          await briefly(of(period(10), 3)),
          await briefly(of(period(10), 3)),
          await briefly(of(period(10), 8)),
        ]).toEqual(["1/1 of 0", "0/1 of 3", "0/0 of 3"]);
        await give(period(10), 10, { grant: 2 });
        expect([await briefly(of(period(10), 7)), await briefly(of(period(10), 1))]).toEqual(["1/1 of 3", "0/0 of 10"]);
      });

      it("knows nothing until a grant has told it its base", async () => {
        expect(await briefly(of(gauge(10), 1))).toBe("0/1 of 0");
        expect(brief(await run({ mode: MODE.CHECK_ONLY, parts: [of(gauge(10), 0)] }))).toBe("0/1 of 0");
        await give(gauge(10), 0);
        expect(brief(await run({ mode: MODE.CHECK_ONLY, parts: [of(gauge(10), 10)] }))).toBe("1/1 of 0");
      });

      it("obeys a cap that is lowered at once, and keeps what was used", async () => {
        await give(period(10), 10);
        await consume(of(period(10), 5));
        expect([
          await briefly(of(period(6), 2)),
          await briefly(of(period(6), 1)),
          await briefly(of(period(3), 0)),
        ]).toEqual(["0/0 of 5", "1/1 of 5", "0/0 of 6"]);
      });

      it("is exact up to 2^63-1", async () => {
        const limit = period("9223372036854775807");
        await give(limit, 5, { base: "9223372036854775800" });
        expect([await briefly(of(limit, 8)), await briefly(of(limit, 7)), await briefly(of(limit, 5))]).toEqual([
          "0/0 of 0",
          "0/1 of 0",
          "1/1 of 0",
        ]);
        expect(await briefly(of(period("9223372036854775805"), 1))).toBe("0/0 of 5");
      });

      it("takes grants late, twice and in any order", async () => {
        await give(period(99), 30, { grant: 3 });
        await consume(of(period(99), 25));
        await give(period(99), 20, { grant: 2 });
        await give(period(99), 30, { grant: 3 });
        expect(await briefly(of(period(99), 5))).toBe("1/1 of 25");
      });

      it("starts the next period with nothing, tells what the last one spent, and never goes back", async () => {
        await give(period(9, 1_000), 9);
        await consume(of(period(9, 1_000), 4));
        expect(await briefly(of(period(9, 2_000), 1))).toBe("0/1 of 0");
        const ended = await give(period(9, 2_000), 9);
        // A server whose clock is behind counts in the period that runs.
        const behind = await briefly(of(period(9, 1_000), 2));
        expect([ended, behind, await used(period(9, 2_000)), await give(period(9, 1_000), 9, { grant: 9 })]).toEqual([
          [{ field: "p", mark: 1_000, spent: 4 }],
          "1/1 of 0",
          [2],
          [],
        ]);
      });

      it("takes an observation of a gauge for what is used; what is held stays", async () => {
        await give(gauge(100), 50);
        await run({ mode: MODE.HOLD, reservationId: "r", parts: [of(gauge(100), 5, { epoch: 1, mark: 0 })] });
        await consume(of(gauge(100), 30));
        await give(gauge(100), 5, { grant: 2, base: 12, mark: 5_000 });
        expect(brief(await run({ mode: MODE.CHECK_ONLY, parts: [of(gauge(100), 83)] }))).toBe("1/1 of 0+5");
        expect(brief(await run({ mode: MODE.CHECK_ONLY, parts: [of(gauge(100), 84)] }))).toBe("0/0 of 0+5");
      });

      it("gives back at most what is used, base included", async () => {
        await give(gauge(100), 50, { base: 10 });
        await consume(of(gauge(100), 20));
        const release = async (amount: number) => {
          const outcome = await run({ mode: MODE.RELEASE, parts: [of(gauge(100), amount)] });
          return "found" in outcome && outcome.found[0]?.done;
        };
        expect([await release(5), await release(100), await release(1), await used(gauge(100))]).toEqual([
          5,
          25,
          0,
          [-10],
        ]);
      });

      it("is lowered to what is used and some more, once", async () => {
        await give(gauge(100), 50, { grant: 4 });
        await consume(of(gauge(100), 20));
        expect([
          await state.lower(tenant, 1, "g", 3),
          await state.lower(tenant, 1, "g", 3),
          await state.lower(tenant, 2, "g", 0),
        ]).toEqual([{ mark: 0, grant: 4, given: 23 }, undefined, undefined]);
        expect([await briefly(of(gauge(100), 4)), await briefly(of(gauge(100), 3))]).toEqual([
          "0/1 of 20",
          "1/1 of 20",
        ]);
      });
    });

    describe("a rate", () => {
      it("admits a burst and then what leaks", async () => {
        const limit = gcra(5, 60, 60_000);
        expect([await briefly(of(limit, 5)), await briefly(of(limit, 1))]).toEqual(["1/1 of 0", "0/0 of 5"]);
        advance(2_000);
        expect([await briefly(of(limit, 2)), await briefly(of(limit, 6))]).toMatchObject([
          expect.stringMatching(/^1/),
          expect.stringMatching(/^0/),
        ]);
      });

      it("slides over two windows", async () => {
        const limit = sliding(10, 1_000_000);
        expect([await briefly(of(limit, 10)), await briefly(of(limit, 1))]).toEqual(["1/1 of 0", "0/0 of 10"]);
        advance(2_000_000);
        expect(await briefly(of(limit, 10))).toBe("1/1 of 0");
      });

      it("that is soft admits everything and counts what would have passed", async () => {
        for (const limit of [gcra(5, 1, 86_400_000, { soft: true }), sliding(5, 86_400_000, { soft: true })]) {
          expect([
            await briefly(of(limit, 4)),
            await briefly(of(limit, 2)),
            await briefly(of(limit, 1)),
            await used(limit),
          ]).toEqual(["1/1 of 0", "1/1 of 4", "1/1 of 4", [5]]);
        }
      });
    });

    describe("slots", () => {
      const hold = (slot: string, limit = slots(2)) => briefly(of(limit, 1, { slot }));

      it("are held until they are released or expire; holding one again extends it", async () => {
        const first = [await hold("a"), await hold("b"), await hold("c"), await hold("a")].map((text) =>
          text.slice(0, 3),
        );
        advance(59_000);
        const extended = (await hold("b")).slice(0, 3);
        advance(2_000);
        // "a" has expired, "b" has not.
        const later = [await hold("c"), await hold("d")].map((text) => text.slice(0, 3));
        const released = await run({
          mode: MODE.RELEASE,
          parts: [of(slots(2), 1, { slot: "b" }), of(slots(2), 1, { slot: "none" })],
        });
        expect([
          first,
          extended,
          later,
          "found" in released && released.found.map(({ done }) => done),
          (await hold("d")).slice(0, 3),
        ]).toEqual([["1/1", "1/1", "0/0", "1/1"], "1/1", ["1/1", "0/0"], [1, 0], "1/1"]);
      });
    });

    describe("several limits", () => {
      it("are all or nothing: a denial burns nothing", async () => {
        await give(period(10), 10);
        await give(gauge(3), 3);
        const both = (amount: number) => briefly(of(period(10), amount), of(gauge(3), amount), of(gcra(9), amount));
        expect([await both(4), await both(3), await both(1), await used(period(10), gauge(3), gcra(9))]).toEqual([
          "0/0 of 0,0,0",
          "1/1 of 0,0,0",
          "0/0 of 3,3,3",
          [3, 3, 3],
        ]);
      });

      it("of a tenant and its integrator are decided in one step", async () => {
        await give(period(10), 10);
        await state.raise(integrator, 1, [{ field: "p", kind: KIND.PERIOD, mark: 1_000, grant: 1, base: 0, given: 4 }]);
        const both = () => briefly(of(period(10), 3), of(period(4), 3, { holder: integrator }));
        expect([await both(), await both(), await used(period(10))]).toEqual(["1/1 of 0,0", "0/0 of 3,3", [3]]);
      });

      it("give to identical checks as many as fit, the first ones", async () => {
        await give(period(10), 10);
        const six = await run({ mode: MODE.CONSUME, count: 6, parts: [of(period(10), 3), of(gcra(100), 3)] });
        await give(period(100), 20, { grant: 2 });
        const more = await run({ mode: MODE.CONSUME, count: 9, parts: [of(period(100), 3)] });
        expect([brief(six), brief(more), await used(period(100))]).toEqual(["3/3 of 0,0", "3/9 of 9", [18]]);
      });

      it("see within a batch what the runs before them did", async () => {
        await give(period(10), 10);
        const parts = [of(period(10), 6)];
        const outcomes = await runAll(
          { mode: MODE.CONSUME, parts },
          { mode: MODE.CONSUME, parts },
          { mode: MODE.CHECK_ONLY, parts: [of(period(10), 4)] },
        );
        expect(outcomes.map(brief)).toEqual(["1/1 of 0", "0/0 of 6", "1/1 of 6"]);
      });
    });

    describe("a mode", () => {
      it("that only checks counts nothing", async () => {
        await give(period(10), 2);
        expect([
          brief(await run({ mode: MODE.CHECK_ONLY, parts: [of(period(10), 10), of(slots(1), 1, { slot: "a" })] })),
          await used(period(10), slots(1)),
        ]).toEqual(["1/1 of 0,0", [0, 0]]);
      });

      it("of best effort takes of each entry what all its limits have, and waits for what can still be given", async () => {
        await give(period(10), 4);
        await give(gauge(10), 10);
        const parts = [of(period(10), 6, { entry: 0 }), of(gcra(5), 6, { entry: 0 }), of(gauge(10), 20, { entry: 1 })];
        const outcomes = await runAll({ mode: MODE.BEST_EFFORT, parts }, { mode: MODE.TAKE_GIVEN, parts });
        expect(
          outcomes.map((outcome) =>
            "found" in outcome ? [outcome.fit, ...outcome.found.map(({ done }) => done)] : [],
          ),
        ).toEqual([
          [0, 4, 4, 10],
          [1, 4, 4, 10],
        ]);
        expect(await used(period(10), gcra(5), gauge(10))).toEqual([4, 4, 10]);
      });

      it("that forces counts beyond all limits, after asking for a grant", async () => {
        await give(period(10), 4);
        const parts = [of(period(10), 20), of(gcra(5), 20)];
        const asked = brief(await run({ mode: MODE.FORCE, parts }));
        const counted = brief(await run({ mode: MODE.COUNT_ANYHOW, parts }));
        expect([asked, counted, await used(gcra(5)), await briefly(of(period(10), 1))]).toEqual([
          "0/1 of 0,0",
          "1/1 of 0,0",
          [20],
          "0/0 of 20",
        ]);
      });
    });

    describe("a reservation", () => {
      const hold = (amount: number, id = "r1", epoch = 1) =>
        run({ mode: MODE.HOLD, reservationId: id, parts: [of(period(10), amount, { epoch, mark: 1_000 })] });
      const resolve = (held: number, spent: number, id = "r1", mark = 1_000) =>
        run({
          mode: MODE.RESOLVE,
          reservationId: id,
          parts: [of(period(10), held, { spent, epoch: 1, mark }), of(gcra(9), held, { spent, epoch: 1 })],
        });

      it("takes room until it is resolved, once", async () => {
        await give(period(10), 10);
        expect([brief(await hold(6)), await briefly(of(period(10), 5)), brief(await hold(5, "r2"))]).toEqual([
          "1/1 of 0",
          "0/0 of 0+6",
          "0/0 of 0+6",
        ]);
        const known = (outcome: HotOutcome) => "found" in outcome && outcome.found.map(({ done }) => done);
        expect([known(await resolve(6, 2)), known(await resolve(6, 2)), await used(period(10))]).toEqual([
          [1, 1],
          [0, 0],
          [2],
        ]);
        expect(await briefly(of(period(10), 8))).toBe("1/1 of 2");
      });

      it("can be committed with more than it held", async () => {
        await give(period(10), 10);
        await hold(4);
        await resolve(4, 30);
        expect([await used(period(10)), await briefly(of(period(10), 1))]).toEqual([[30], "0/0 of 30"]);
      });

      it("is refused in an epoch or a period that it was not written down for", async () => {
        await give(period(10), 10);
        expect([brief(await hold(1, "r1", 2)), await used(period(10))]).toEqual(["MOVED", [0]]);
        await hold(1, "r2");
        expect([brief(await resolve(1, 1, "r2", 999)), await used(period(10))]).toEqual([
          expect.stringMatching(/^1/),
          [0],
        ]);
      });
    });

    describe("a request id", () => {
      const ask = (id: string, amount: number, rest: object = {}) =>
        run({ mode: MODE.CONSUME, parts: [of(period(10), amount)], id: { holder: tenant, id, ...rest } });

      it("gets its first answer again and counts once", async () => {
        await give(period(10), 10, { base: 0 });
        const first = await ask("a", 4);
        await consume(of(period(10), 1));
        const again = await ask("a", 4);
        expect([brief(first), brief(again), await used(period(10))]).toEqual(["1/1 of 0", "again 1/1 of 0", [5]]);
        expect(again).toMatchObject({ replay: { signature: 7, bases: [0] } });
      });

      it("with another request is refused, and of other limits answers without their numbers", async () => {
        await give(period(10), 10);
        await ask("a", 4);
        expect([brief(await ask("a", 4, { hash: "other" })), brief(await ask("a", 4, { signature: 8 }))]).toEqual([
          "REUSED",
          expect.stringMatching(/^again 1/),
        ]);
      });

      it("of a denial is not kept: a retry may pass", async () => {
        await give(period(10), 2);
        const denied = brief(await ask("a", 4));
        await give(period(10), 4, { grant: 2 });
        expect([denied, brief(await ask("a", 4))]).toEqual(["0/1 of 0", "1/1 of 0"]);
      });

      it("is remembered for five minutes at least and ten at most", async () => {
        await give(period(100), 100);
        const again = async () => brief(await ask("a", 1)).startsWith("again");
        await ask("a", 1);
        advance(299_000);
        const seen = [await again()];
        advance(2_000);
        seen.push(await again());
        advance(298_000);
        seen.push(await again());
        advance(2_000);
        seen.push(await again());
        expect(seen).toEqual([true, true, true, false]);
      });
    });

    describe("a loss", () => {
      it("leaves a holder cold until it is installed in a new epoch, once", async () => {
        const lost = { uid: crypto.randomUUID(), rootUid: tenant.rootUid };
        const cold = brief(await consume(of(gcra(9), 1, { holder: lost }), of(gcra(9), 1)));
        const installed = [
          await state.install(lost, 5, true),
          await state.install(lost, 5, true),
          await state.install(lost, 4, true),
        ];
        await state.raise(lost, 4, [{ field: "p", kind: KIND.PERIOD, mark: 1_000, grant: 1, base: 0, given: 9 }]);
        expect([cold, installed, await briefly(of(period(9), 1, { holder: lost }))]).toEqual([
          "COLD",
          [true, false, false],
          "0/1 of 0",
        ]);
        expect(await used(gcra(9))).toEqual([0]);
      });

      it("starts strict rates with nothing to admit, others with everything", async () => {
        const rates = [gcra(60, 60, 60_000), sliding(60, 60_000)];
        await state.install(tenant, 2, true);
        const strict = await Promise.all(rates.map((limit) => briefly(of(limit, 1))));
        const full = await Promise.all(
          rates.map((limit) => briefly(of({ ...limit, field: `${limit.field}2`, strict: false }, 60))),
        );
        advance(120_000);
        const later = await Promise.all(rates.map((limit) => briefly(of(limit, 60))));
        expect([strict, full, later].map((texts) => texts.map((text) => text.slice(0, 3)))).toEqual([
          ["0/0", "0/0"],
          ["1/1", "1/1"],
          ["1/1", "1/1"],
        ]);
      });

      it("keeps strict slots closed until all lost ones have expired", async () => {
        await state.install(tenant, 2, true);
        const closed = await briefly(of(slots(2), 1, { slot: "a" }));
        advance(60_001);
        expect([closed, (await briefly(of(slots(2), 1, { slot: "a" }))).slice(0, 3)]).toEqual(["0/0 of 0", "1/1"]);
      });
    });
  });
}
