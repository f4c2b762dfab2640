import { ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "@tenantplane/sdk/gen/google/rpc/error_details_pb";
import { WatchTenantsResponse_Event_Kind as Kind } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, createFakeClock, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { seeded } from "../support/seeded.ts";

/** Small, so that a reader can be too slow within a second. */
const QUEUE_MAX_BATCHES = 20;
const clock = createFakeClock(Date.UTC(2026, 0, 1));
let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database, {
    clock,
    watchQueueMax: QUEUE_MAX_BATCHES,
    settings: { CHANGE_RETENTION_MS: "60000" },
  });
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const tenant = { displayName: "T", plan: "plans/basic" };

interface Seen {
  readonly name: string;
  readonly kind: number;
  readonly epoch: number;
  readonly label: string;
}

describe("WatchTenants", () => {
  const seed = Number(process.env.SEED ?? 20_260_101);
  it(`is ordered, unique, reliable and resumable under racing writers and reconnects (SEED=${seed})`, async () => {
    const random = seeded(seed);
    const names = Array.from({ length: 5 }, (_, i) => `tenants/watch-${i}`);
    for (const name of names) await app.admin.tenants.createTenant({ tenantId: name.slice(8), tenant });
    const writes = 40;
    const writers = names.map(async (name) => {
      for (let i = 1; i <= writes; i += 1) {
        await app.admin.tenants.updateTenant({
          tenant: { name, labels: { n: String(i) } },
          updateMask: { paths: ["labels"] },
        });
      }
    });
    const seen: Seen[] = [];
    let resumeToken = "";
    const finished = () =>
      names.every((name) => seen.some((event) => event.name === name && event.label === String(writes)));
    while (!finished()) {
      // Cut the stream after a few messages, and resume it with the last token.
      let budget = 1 + Math.floor(random() * 12);
      for await (const message of app.admin.tenants.watchTenants({ resumeToken, filter: 'name = "tenants/watch-*"' })) {
        for (const { kind, tenant: found } of message.events) {
          seen.push({ name: found?.name ?? "", kind, epoch: Number(found?.epoch), label: found?.labels.n ?? "0" });
        }
        if (message.resumeToken !== "") resumeToken = message.resumeToken;
        budget -= 1;
        if (finished() || (budget <= 0 && resumeToken !== "")) break;
      }
    }
    await Promise.all(writers);
    for (const name of names) {
      const own = seen.filter((event) => event.name === name);
      const first = Number(own[0]?.label);
      // From the initial state on, every write exactly once and in order. A transaction of another test may hold back the
      // log, so that the creation itself comes after it.
      const kinds = [first === 0 && own[0]?.kind === Kind.UPDATED ? Kind.UPDATED : Kind.INITIAL, Kind.UPDATED];
      expect(own.map(({ kind, label }) => [kind, Number(label)])).toEqual(
        Array.from({ length: writes - first + 1 }, (_, i) => [kinds[Math.min(i, 1)], first + i]),
      );
    }
  });

  it("tells a filtered watcher when a tenant starts and stops to match", async () => {
    const stream = app.admin.tenants.watchTenants({ filter: "labels.tier = gold" })[Symbol.asyncIterator]();
    expect((await stream.next()).value?.initialStateComplete).toBe(true);
    await app.admin.tenants.createTenant({ tenantId: "filtered", tenant });
    const set = (tier: string) =>
      app.admin.tenants.updateTenant({
        tenant: { name: "tenants/filtered", labels: { tier } },
        updateMask: { paths: ["labels"] },
      });
    for (const tier of ["gold", "silver"]) await set(tier);
    const kinds: number[] = [];
    while (kinds.length < 2)
      kinds.push(...((await stream.next()).value?.events ?? []).map((event: { kind: number }) => event.kind));
    await stream.return?.();
    expect(kinds).toEqual([Kind.UPDATED, Kind.REMOVED]);
  });

  it("sends a heartbeat with a token that resumes", async () => {
    const heartbeatInterval = { seconds: 1n, nanos: 0 };
    const stream = app.admin.tenants
      .watchTenants({ filter: "labels.none = x", heartbeatInterval })
      [Symbol.asyncIterator]();
    await stream.next();
    const beat = await stream.next();
    await stream.return?.();
    const resumed = app.admin.tenants
      .watchTenants({ resumeToken: beat.value?.resumeToken ?? "" })
      [Symbol.asyncIterator]();
    await app.admin.tenants.createTenant({ tenantId: "after-beat", tenant });
    const next = await resumed.next();
    await resumed.return?.();
    expect([
      beat.value?.events,
      next.value?.events.map((event: { tenant?: { name: string } }) => event.tenant?.name),
    ]).toEqual([[], ["tenants/after-beat"]]);
  });

  it("refuses a token whose changes are forgotten, or starts over when asked to", async () => {
    const stream = app.admin.tenants.watchTenants({ filter: "labels.none = x" })[Symbol.asyncIterator]();
    const token = (await stream.next()).value?.resumeToken ?? "";
    await stream.return?.();
    await app.admin.tenants.createTenant({ tenantId: "forgotten", tenant });
    clock.advance(61_000);
    await app.tick();
    const first = (request: object) => app.admin.tenants.watchTenants(request)[Symbol.asyncIterator]().next();
    const refused = await refusal(first({ resumeToken: token }));
    const resynced = await first({ resumeToken: token, resyncOnCompaction: true, filter: "labels.none = x" });
    expect([refused, resynced.value?.resync, resynced.value?.initialStateComplete]).toEqual([
      { code: "OutOfRange", reason: "REVISION_COMPACTED", fields: [] },
      true,
      true,
    ]);
  });

  it("cuts off a reader that stalls, with a token that loses nothing, and holds up no other", async () => {
    const name = "tenants/stalled";
    // Large enough that the windows of the connection are full after some messages.
    const padding = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`pad${i}`, "x".repeat(60)]));
    await app.admin.tenants.createTenant({ tenantId: "stalled", tenant });
    const filter = `name = "${name}"`;
    const slow = app.admin.tenants.watchTenants({ filter })[Symbol.asyncIterator]();
    await slow.next();
    const quick = app.admin.tenants.watchTenants({ filter })[Symbol.asyncIterator]();
    await quick.next();
    // More than the queue of a watcher holds, read along by the quick one.
    const writes = 10 * QUEUE_MAX_BATCHES;
    for (let n = 1; n <= writes; n += 1) {
      const labels = { ...padding, n: String(n) };
      await app.admin.tenants.updateTenant({ tenant: { name, labels }, updateMask: { paths: ["labels"] } });
      for (let read = 0; read !== n; ) read = Number(labelsOf((await quick.next()).value?.events).at(-1));
    }
    await quick.return?.();
    const seen: number[] = [];
    const take = (events: LabelEvent[]) => seen.push(...labelsOf(events).map(Number));
    const refused = await (async () => {
      for (let next = await slow.next(); !next.done; next = await slow.next()) take(next.value.events);
      throw new Error("the stalled reader was not cut off");
    })().catch((error: unknown) => ConnectError.from(error));
    const [info] = refused.findDetails(ErrorInfoSchema);
    const resumeToken = info?.metadata.resume_token ?? "";
    const cutAt = seen.length;
    for await (const { events } of app.admin.tenants.watchTenants({ filter, resumeToken })) {
      take(events);
      if (seen.at(-1) === writes) break;
    }
    expect([info?.reason, cutAt < writes, seen]).toEqual([
      "WATCHER_TOO_SLOW",
      true,
      Array.from({ length: writes }, (_, i) => i + 1),
    ]);
  });
});

/** The label "n" of each tenant that has one: its creation has none. */
function labelsOf(events: readonly LabelEvent[] = []): string[] {
  return events.flatMap((event) => event.tenant?.labels.n ?? []);
}

interface LabelEvent {
  readonly tenant?: { readonly labels: Readonly<Record<string, string>> } | undefined;
}
