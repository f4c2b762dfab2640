import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { DomainError } from "../../src/errors.ts";
import type { Check, Decision } from "../../src/quota/decision.ts";
import { testRedisUrl } from "../support/redis.ts";
import { memoryState, openTestDatabase, redisState, startNode, type TestNode } from "./support/nodes.ts";
import {
  effectiveOf,
  GAUGE,
  insertTenants,
  MONTH,
  ofIntegrator,
  quotasOf,
  rate,
  type TestLimit,
  type TestTenant,
  testTenant,
} from "./support/tenants.ts";

let database: Awaited<ReturnType<typeof openTestDatabase>>;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.drop());

const redisUrl = testRedisUrl();
describe.each([
  ["memory", () => memoryState()],
  ...(redisUrl ? [["Redis", () => redisState(redisUrl)] as const] : []),
] as const)("checks on %s", (_, makeState) => {
  const running: TestNode[] = [];
  afterEach(async () => {
    await Promise.all(running.splice(0).map(({ checks }) => checks.stop()));
  });

  async function start(limits: readonly TestLimit[], more: readonly TestTenant[] = []) {
    const tenant = testTenant(limits);
    await insertTenants(database.sql, [tenant, ...more]);
    const node = await startNode(database.sql, makeState(), quotasOf([tenant, ...more]));
    running.push(node);
    const checkOf = (entries: [string, number][], rest: Partial<Check> = {}): Check => ({
      tenantId: tenant.id,
      entries: entries.map(([meter, amount]) => ({ meter, amount, slot: undefined })),
      mode: "CONSUME",
      idempotency: undefined,
      ...rest,
    });
    const check = async (entries: [string, number][], rest: Partial<Check> = {}) =>
      (await node.checks.check([checkOf(entries, rest)]))[0] as Decision;
    return { tenant, node, check, checkOf };
  }
  const brief = (decision: Decision | DomainError | undefined) =>
    decision instanceof DomainError || !decision
      ? (decision?.message ?? "nothing")
      : `${decision.outcome}${decision.reason ? ` ${decision.reason}` : ""} ${decision.limits.map(({ used, held, remaining }) => `${used}+${held}/${remaining}`).join(" ")}`;

  it("admit up to a hard limit and not one more, whoever asks at the same time", async () => {
    const { node, checkOf } = await start([{ limit: { meter: "messages", amount: "1000", rule: MONTH } }]);
    const batches = await Promise.all(
      Array.from({ length: 30 }, () => node.checks.check(Array.from({ length: 50 }, () => checkOf([["messages", 1]])))),
    );
    const outcomes = Object.groupBy(batches.flat() as Decision[], ({ outcome }) => outcome);
    expect([outcomes.ALLOW?.length, outcomes.DENY?.length, outcomes.UNDECIDED?.length]).toEqual([
      1_000,
      500,
      undefined,
    ]);
    expect(brief((await node.checks.check([checkOf([["messages", 1]])]))[0])).toBe("DENY QUOTA_EXHAUSTED 1000+0/0");
  });

  it("decide several limits together: a denial burns nothing, and names the limit that refuses first", async () => {
    const { check } = await start([
      { limit: { meter: "messages", amount: "100", rule: MONTH } },
      { limit: { meter: "storage", amount: "10", rule: GAUGE } },
      { limit: { meter: "calls", amount: "50", rule: rate(50, 3_600_000) } },
    ]);
    const all = (amount: number) =>
      check([
        ["messages", amount],
        ["calls", amount],
        ["storage", amount],
      ]);
    expect([brief(await all(6)), brief(await all(6)), brief(await all(4))]).toEqual([
      "ALLOW 6+0/94 6+0/44 6+0/4",
      "DENY QUOTA_EXHAUSTED 6+0/4 6+0/94 6+0/44",
      "ALLOW 10+0/90 10+0/40 10+0/0",
    ]);
    expect((await all(1)).limits[0]?.effective.limit.meter).toBe("storage");
  });

  it("say when asking again helps, and nothing when it does not", async () => {
    const { check } = await start([
      {
        limit: { meter: "messages", amount: "1", rule: MONTH },
        window: { id: "P1M:now", startAt: Date.now() - 1_000, endAt: Date.now() + 60_000 },
      },
      { limit: { meter: "storage", amount: "1", rule: GAUGE } },
      { limit: { meter: "calls", amount: "60", rule: rate(1, 3_600_000) } },
    ]);
    for (const meter of ["messages", "storage", "calls"]) await check([[meter, 1]]);
    const waits = await Promise.all(
      ["messages", "storage", "calls"].map(async (meter) => (await check([[meter, 1]])).retryAfterMs),
    );
    expect([
      waits[0] && waits[0] > 50_000 && waits[0] <= 60_000,
      waits[1],
      waits[2] && waits[2] > 50_000 && waits[2] <= 60_000,
    ]).toEqual([true, undefined, true]);
    expect((await check([["calls", 2]])).retryAfterMs).toBeUndefined();
  });

  it("obey the modes of limits", async () => {
    const limit = (meter: string, mode: "HARD" | "SOFT" | "OVERAGE" | "SHADOW") =>
      ({ limit: { meter, amount: "5", overageCap: mode === "OVERAGE" ? "2" : "0", mode, rule: MONTH } }) as const;
    const { check } = await start([
      limit("hard", "HARD"),
      limit("soft", "SOFT"),
      limit("over", "OVERAGE"),
      limit("shadow", "SHADOW"),
    ]);
    const seen = async (meter: string, amount: number) => {
      const { outcome, limits } = await check([[meter, amount]]);
      return `${outcome} ${limits[0]?.used}${limits[0]?.exceeded ? "!" : ""}`;
    };
    const rows: string[][] = [];
    for (const meter of ["hard", "soft", "over", "shadow"])
      rows.push([await seen(meter, 5), await seen(meter, 2), await seen(meter, 1)]);
    expect(rows).toEqual([
      ["ALLOW 5", "DENY 5!", "DENY 5!"],
      ["ALLOW 5", "ALLOW 7!", "ALLOW 8!"],
      ["ALLOW 5", "ALLOW 7!", "DENY 7!"],
      ["ALLOW 5", "ALLOW 7!", "ALLOW 8!"],
    ]);
  });

  it("obey the modes of checks", async () => {
    const { check } = await start([
      { limit: { meter: "messages", amount: "10", rule: MONTH } },
      { limit: { meter: "storage", amount: "4", rule: GAUGE } },
    ]);
    const both: [string, number][] = [
      ["messages", 6],
      ["storage", 6],
    ];
    const only = await check([["messages", 10]], { mode: "CHECK_ONLY" });
    const some = await check(both, { mode: "BEST_EFFORT" });
    const none = await check([["storage", 1]], { mode: "BEST_EFFORT" });
    const forced = await check(both, { mode: "FORCE" });
    expect([only, some, none, forced].map((decision) => [brief(decision), decision.admittedAmounts])).toEqual([
      ["ALLOW 0+0/10", [10]],
      ["ALLOW 4+0/0 6+0/4", [6, 4]],
      ["DENY QUOTA_EXHAUSTED 4+0/0", [0]],
      ["ALLOW 12+0/0 10+0/0", [6, 6]],
    ]);
    expect(brief(await check([["messages", 1]]))).toBe("DENY QUOTA_EXHAUSTED 12+0/0");
  });

  it("count an integrator's limit for all of its tenants", async () => {
    const integratorUid = crypto.randomUUID();
    const limit = { limit: { meter: "messages", amount: "5", rule: MONTH } };
    const tenants = [0, 1].map(() => testTenant([{ limit: { ...limit.limit, amount: "4" } }], integratorUid));
    for (const tenant of tenants) tenant.limits = [...tenant.limits, ofIntegrator(tenant, limit)];
    const { node, checkOf } = await start([], tenants);
    const ask = async (index: number, amount: number) =>
      brief((await node.checks.check([checkOf([["messages", amount]], { tenantId: tenants[index]?.id ?? "" })]))[0]);
    expect([await ask(0, 4), await ask(1, 2), await ask(1, 1), await ask(0, 1)]).toEqual([
      "ALLOW 4+0/0 4+0/1",
      "DENY QUOTA_EXHAUSTED 4+0/1 0+0/4",
      "ALLOW 1+0/3 5+0/0",
      "DENY QUOTA_EXHAUSTED 4+0/0 5+0/0",
    ]);
  });

  it("repeat the first answer to a request id, and refuse it with another request", async () => {
    const { check, node, checkOf } = await start([{ limit: { meter: "messages", amount: "10", rule: MONTH } }]);
    const idempotency = { requestId: crypto.randomUUID(), hash: "a" };
    const first = await check([["messages", 3]], { idempotency });
    await check([["messages", 1]]);
    const again = await check([["messages", 3]], { idempotency });
    const [other] = await node.checks.check([
      checkOf([["messages", 4]], { idempotency: { ...idempotency, hash: "b" } }),
    ]);
    expect(again).toEqual({ ...first, replayed: true });
    expect([other instanceof DomainError && other.reason, brief(await check([["messages", 0]]))]).toEqual([
      "REQUEST_ID_REUSED",
      "ALLOW 4+0/6",
    ]);
  });

  it("hold slots, name them, and give them back", async () => {
    const { node, tenant, check } = await start([
      { limit: { meter: "jobs", amount: "2", rule: { kind: "CONCURRENCY", slotTtlMs: 60_000 } } },
    ]);
    const entry = (slot?: string) => ({ meter: "jobs", amount: 1, slot });
    const named = await check([], { entries: [entry("mine")] });
    const unnamed = await check([], { entries: [entry()] });
    const full = await check([], { entries: [entry()] });
    const extended = await check([], { entries: [entry("mine")] });
    await node.checks.release({ tenantId: tenant.id, entries: [entry(unnamed.slots[0])], idempotency: undefined });
    expect([
      brief(named),
      named.slots,
      brief(unnamed),
      unnamed.slots[0]?.length,
      brief(full),
      brief(extended),
      brief(await check([], { entries: [entry()] })),
    ]).toEqual(["ALLOW 1+0/1", ["mine"], "ALLOW 2+0/0", 36, "DENY SLOTS_TAKEN 2+0/0", "ALLOW 2+0/0", "ALLOW 2+0/0"]);
  });

  it("release gauges, and take observations for what is used", async () => {
    const { node, tenant, check } = await start([
      { limit: { meter: "storage", amount: "9223372036854775807", rule: GAUGE } },
    ]);
    const release = async (amount: number) =>
      (
        await node.checks.release({
          tenantId: tenant.id,
          entries: [{ meter: "storage", amount, slot: undefined }],
          idempotency: undefined,
        })
      ).admittedAmounts;
    const observe = async (used: bigint, observedAt: number) =>
      brief(
        await node.checks.setGauge({ tenantId: tenant.id, meter: "storage", used, observedAt, idempotency: undefined }),
      );
    await check([["storage", 100]]);
    expect([await release(30), await release(100), await release(1)]).toEqual([[30], [70], [0]]);
    expect([
      await observe(2n ** 63n - 3n, 5_000),
      await observe(7n, 4_000),
      brief(await check([["storage", 2]])),
      brief(await check([["storage", 1]])),
    ]).toEqual([
      "ALLOW 9223372036854775805+0/2",
      "ALLOW 9223372036854775805+0/2",
      "ALLOW 9223372036854775807+0/0",
      "DENY QUOTA_EXHAUSTED 9223372036854775807+0/0",
    ]);
    expect([await observe(50n, 6_000), await release(60)]).toEqual(["ALLOW 50+0/9223372036854775757", [50]]);
  });

  it("refuse what makes no sense, field by field, and count nothing", async () => {
    const { node, checkOf, check, tenant } = await start([
      { limit: { meter: "messages", amount: "10", rule: MONTH } },
      { limit: { meter: "jobs", amount: "2", rule: { kind: "CONCURRENCY", slotTtlMs: 60_000 } } },
    ]);
    const entry = (meter: string, amount = 1, slot?: string) => ({ meter, amount, slot });
    const refused = async (...entries: ReturnType<typeof entry>[]) => {
      const [result] = await node.checks.check([checkOf([], { entries })]);
      return result instanceof DomainError
        ? [result.reason, result.details.violations?.map(({ field }) => field)]
        : brief(result);
    };
    expect([
      await refused(entry("messages"), entry("nothing")),
      await refused(entry("messages"), entry("messages")),
      await refused(entry("messages", 1, "a"), entry("jobs", 2)),
      await refused(entry("seats")),
      await refused(entry("__proto__")),
      await refused(entry("free", 7)),
    ]).toEqual([
      ["INVALID_FIELDS", ["entries[1].meter"]],
      ["INVALID_FIELDS", ["entries[1].meter"]],
      ["INVALID_FIELDS", ["entries[0].slot", "entries[1].amount"]],
      ["INVALID_FIELDS", ["entries[0].meter"]],
      ["INVALID_FIELDS", ["entries[0].meter"]],
      "ALLOW ",
    ]);
    const release = node.checks.release({ tenantId: tenant.id, entries: [entry("messages")], idempotency: undefined });
    await expect(release).rejects.toMatchObject({ reason: "INVALID_FIELDS" });
    expect(brief(await check([["messages", 0]]))).toBe("ALLOW 0+0/10");
  });

  it("deny a tenant that is not ACTIVE from memory, and let it give back", async () => {
    const { node, tenant, check } = await start([{ limit: { meter: "storage", amount: "10", rule: GAUGE } }]);
    await check([["storage", 5]]);
    tenant.state = "SUSPENDED";
    const denied = await check([["storage", 1]]);
    const released = await node.checks.release({
      tenantId: tenant.id,
      entries: [{ meter: "storage", amount: 2, slot: undefined }],
      idempotency: undefined,
    });
    expect([brief(denied), brief(released), brief(await check([["storage", 1]], { tenantId: "unknown" }))]).toEqual([
      "DENY TENANT_NOT_ACTIVE ",
      "ALLOW 3+0/7",
      "UNDECIDED DECISION_UNAVAILABLE ",
    ]);
  });

  it("keep what was used when a limit changes, and begin anew when its rule does", async () => {
    const { tenant, check } = await start([{ limit: { meter: "messages", amount: "10", rule: MONTH } }]);
    const change = (limit: TestLimit["limit"]) => {
      tenant.limits = [effectiveOf(tenant, { limit })];
    };
    await check([["messages", 8]]);
    change({ meter: "messages", amount: "5", rule: MONTH });
    const lower = brief(await check([["messages", 1]]));
    change({ meter: "messages", amount: "9", rule: MONTH });
    const higher = brief(await check([["messages", 1]]));
    change({ meter: "messages", amount: "9", rule: { ...MONTH, anchor: "ANNIVERSARY" } });
    expect([lower, higher, brief(await check([["messages", 1]]))]).toEqual([
      "DENY QUOTA_EXHAUSTED 8+0/0",
      "ALLOW 9+0/0",
      "ALLOW 1+0/8",
    ]);
  });

  it("warn once of each percentage that is crossed, whoever crosses it", async () => {
    const { node, checkOf } = await start([
      { limit: { meter: "messages", amount: "200", warningPercents: [50, 80, 100], rule: MONTH } },
    ]);
    await Promise.all(
      Array.from({ length: 25 }, () => node.checks.check(Array.from({ length: 10 }, () => checkOf([["messages", 1]])))),
    );
    expect(node.crossings.map(({ percent, used, effective }) => [percent, used, effective.limit.meter]).sort()).toEqual(
      [
        [100, 200n, "messages"],
        [50, 100n, "messages"],
        [80, 160n, "messages"],
      ],
    );
  });

  it("read all limits as they stand", async () => {
    const { node, tenant, check } = await start([
      { limit: { meter: "messages", amount: "10", rule: MONTH } },
      { limit: { meter: "calls", amount: "50", rule: rate(50, 3_600_000) } },
      { limit: { meter: "seats", amount: "3", rule: GAUGE } },
    ]);
    await check([
      ["messages", 4],
      ["calls", 2],
    ]);
    const read = async (meters: string[]) =>
      (await node.checks.read(tenant.id, meters)).map(({ effective, used }) => [effective.limit.meter, used]);
    expect([await read([]), await read(["calls"])]).toEqual([
      [
        ["messages", 4n],
        ["calls", 2n],
      ],
      [["calls", 2n]],
    ]);
    await expect(node.checks.read("unknown", [])).rejects.toMatchObject({ reason: "RESOURCE_NOT_FOUND" });
  });
});
