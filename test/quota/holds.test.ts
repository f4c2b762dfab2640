import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/platform/clock.ts";
import type { HotState } from "../../src/quota/hot/state.ts";
import { memoryState, openTestDatabase, startNode, type TestNode } from "./support/nodes.ts";
import { GAUGE, insertTenants, MONTH, quotasOf, rate, type TestLimit, testTenant } from "./support/tenants.ts";

let database: Awaited<ReturnType<typeof openTestDatabase>>;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.drop());
const running: TestNode[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map(({ checks }) => checks.stop()));
});

async function start(limits: readonly TestLimit[], hot: HotState = memoryState(), budgetMs?: number) {
  const tenant = testTenant(limits);
  await insertTenants(database.sql, [tenant]);
  let aheadMs = 0;
  const clock = { ...systemClock, now: () => Date.now() + aheadMs };
  const node = await startNode(database.sql, hot, quotasOf([tenant]), { clock, ...(budgetMs ? { budgetMs } : {}) });
  running.push(node);
  const { checks } = node;
  const of = (meter: string, amount: number) => [{ meter, amount, slot: undefined }];
  const common = { tenantId: tenant.id, idempotency: undefined };
  const state = async (meter: string) => {
    const [limit] = await checks.read(tenant.id, [meter]);
    return `${limit?.used}+${limit?.held}`;
  };
  const check = async (meter: string, amount: number) => {
    const [decision] = await checks.check([{ ...common, entries: of(meter, amount), mode: "CONSUME" }]);
    return decision && "outcome" in decision ? `${decision.outcome} ${decision.consistency}` : String(decision);
  };
  const advance = (ms: number) => {
    aheadMs += ms;
  };
  return { tenant, node, checks, of, common, state, check, advance };
}

const MONTHLY: TestLimit = { limit: { meter: "messages", amount: "10", rule: MONTH } };

describe("a reservation", () => {
  it("takes room until it is committed, cancelled or expires; each once", async () => {
    const { checks, of, common, state, check, advance } = await start([MONTHLY]);
    const reserve = async (amount: number) =>
      (await checks.reserve({ ...common, entries: of("messages", amount), ttlMs: 60_000 })).reservation;
    const [first, second, third] = [await reserve(4), await reserve(3), await reserve(2)];
    const full = await reserve(2);
    const held = await state("messages");
    const call = (id: string | undefined) => ({ ...common, reservationId: id ?? "" });
    const committed = await checks.commit({ ...call(first?.reservationId), actualEntries: of("messages", 1) });
    const cancelled = await checks.cancel(call(second?.reservationId));
    const after = await state("messages");
    await expect(checks.commit({ ...call(first?.reservationId), actualEntries: [] })).rejects.toMatchObject({
      reason: "RESERVATION_RESOLVED",
    });
    advance(61_000);
    await checks.settle(new AbortController().signal);
    const expired = await state("messages");
    const late = await checks.commit({ ...call(third?.reservationId), actualEntries: [] });
    expect([full, held, committed.reservation.state, cancelled.state, after, expired, late.reservation.late]).toEqual([
      undefined,
      "0+9",
      "COMMITTED",
      "CANCELLED",
      "1+2",
      "1+0",
      true,
    ]);
    expect([await state("messages"), await check("messages", 8), await check("messages", 7)]).toEqual([
      "3+0",
      "DENY EXACT",
      "ALLOW EXACT",
    ]);
  });

  it("is made once by a request, and belongs to its tenant", async () => {
    const { checks, of, common, state } = await start([MONTHLY]);
    const idempotency = { requestId: crypto.randomUUID(), hash: "a" };
    const input = { ...common, entries: of("messages", 4), ttlMs: 60_000, idempotency };
    const [one, two] = [await checks.reserve(input), await checks.reserve(input)];
    expect([two.reservation, two.decision.replayed, await state("messages")]).toEqual([one.reservation, true, "0+4"]);
    await expect(checks.reserve({ ...input, idempotency: { ...idempotency, hash: "b" } })).rejects.toMatchObject({
      reason: "REQUEST_ID_REUSED",
    });
    const foreign = checks.cancel({ ...common, reservationId: crypto.randomUUID() });
    await expect(foreign).rejects.toMatchObject({ reason: "RESOURCE_NOT_FOUND" });
  });

  it("survives the loss of the hot state, and its commit counts once", async () => {
    const hot = memoryState();
    const { checks, of, common, check, state } = await start([MONTHLY], hot);
    const { reservation } = await checks.reserve({ ...common, entries: of("messages", 4), ttlMs: 60_000 });
    hot.lose();
    await check("messages", 1);
    const call = { ...common, reservationId: reservation?.reservationId ?? "", actualEntries: [] };
    const committed = await checks.commit(call);
    expect([committed.reservation.state, BigInt((await state("messages")).split("+")[0] ?? 0) >= 5n]).toEqual([
      "COMMITTED",
      true,
    ]);
  });
});

describe("a lease", () => {
  it("counts as used until it is returned; a report that comes twice counts once", async () => {
    const { checks, common, state } = await start([{ limit: { meter: "storage", amount: "100", rule: GAUGE } }]);
    const { lease } = await checks.acquireLease({ ...common, meter: "storage", wantedAmount: 40, ttlMs: 10_000 });
    const taken = await state("storage");
    const call = { tenantId: common.tenantId, leaseId: lease?.leaseId ?? "" };
    const renewed = await checks.renewLease({ ...call, spentAmount: 30, wantedAmount: 25, ttlMs: undefined });
    const more = await state("storage");
    const returned = [
      await checks.returnLease({ ...call, spentAmount: 35 }),
      await checks.returnLease({ ...call, spentAmount: 35 }),
    ];
    expect([lease?.amount, taken, renewed.lease.amount, more, returned, await state("storage")]).toEqual([
      40,
      "40+0",
      55,
      "55+0",
      [20, 20],
      "35+0",
    ]);
    await expect(checks.renewLease({ ...call, spentAmount: 35, wantedAmount: 1, ttlMs: 1 })).rejects.toMatchObject({
      reason: "LEASE_ENDED",
    });
  });

  it("that is lost stays counted against a hard limit, and comes back of a soft one", async () => {
    const soft: TestLimit = { limit: { meter: "soft", amount: "100", mode: "SOFT", rule: GAUGE } };
    const { checks, common, state, advance } = await start([
      { limit: { meter: "hard", amount: "100", rule: GAUGE } },
      soft,
    ]);
    for (const meter of ["hard", "soft"])
      await checks.acquireLease({ ...common, meter, wantedAmount: 10, ttlMs: 1_000 });
    advance(10_000);
    await checks.settle(new AbortController().signal);
    expect([await state("hard"), await state("soft")]).toEqual(["10+0", "0+0"]);
  });
});

describe("without the hot state", () => {
  it("the limits' policies decide, and what they admit is counted when it is back", async () => {
    const memory = memoryState();
    let isAway = false;
    const hot: HotState = {
      ...memory,
      decide: (batch) => (isAway ? Promise.reject(new Error("away")) : memory.decide(batch)),
    };
    const policy = (meter: string, failPolicy: "OPEN" | "CLOSED" | "SAFE_AMOUNT"): TestLimit => ({
      limit: { meter, amount: "100", failPolicy, safeAmount: "3", rule: meter === "calls" ? rate(100) : MONTH },
    });
    const { checks, check, state } = await start(
      [policy("open", "OPEN"), policy("closed", "CLOSED"), policy("safe", "SAFE_AMOUNT")],
      hot,
    );
    for (const meter of ["open", "closed", "safe"]) await check(meter, 1);
    isAway = true;
    const seen = [await check("open", 5), await check("closed", 1), await check("safe", 2), await check("safe", 2)];
    isAway = false;
    await checks.flush();
    await expect.poll(() => state("open").catch(() => "")).toBe("6+0");
    expect([seen, await state("closed"), await state("safe")]).toEqual([
      ["ALLOW FALLBACK", "DENY FALLBACK", "ALLOW FALLBACK", "DENY FALLBACK"],
      "1+0",
      "3+0",
    ]);
  });
});
