import { randomUUID } from "node:crypto";
import type { JsonObject } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  UsageEventResult_Outcome as Outcome,
  UsageService,
  QueryUsageRequest_Window as Window,
} from "@tenantplane/sdk/gen/tenantplane/v1/usage_pb";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, createFakeClock, type FakeClock, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { until } from "../support/until.ts";

const START = Date.parse("2031-03-10T12:00:00Z");
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NAMES = ["UNSPECIFIED", "ACCEPTED", "DUPLICATE", "REFUSED"];

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let clock: FakeClock;
let sql: postgres.Sql;
let made = 0;

beforeAll(async () => {
  database = await createDatabase();
  clock = createFakeClock(START);
  app = await startTestApp(database, { clock });
  sql = postgres(database.url, { max: 1, onnotice: () => {} });
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  for (const integratorId of ["north", "south"]) {
    await app.admin.integrators.createIntegrator({ integratorId, integrator: { displayName: integratorId } });
  }
  const meter = (id: string, aggregation: string, valueProperty: string, dimensions = {}) =>
    sql`insert into meter (meter_id, uid, display_name, kind, unit, description, event_source, revision, created_at, updated_at)
      values (${id}, gen_random_uuid(), ${id}, 'PERIOD', '', '',
        ${sql.json({ eventType: "upload", aggregation, valueProperty, dimensions })}, 1, now(), now())`;
  await meter("bytes", "SUM", "size.bytes", { region: "region" });
  await meter("uploads", "COUNT", "");
  await meter("largest", "MAX", "size.bytes");
  await meter("newest", "LATEST", "size.bytes");
  await meter("people", "UNIQUE_COUNT", "user");
});
afterAll(async () => {
  await sql?.end();
  await app?.stop();
  await database?.drop();
});

const usage = () => app.admin.of(UsageService);

async function tenant(integrator = ""): Promise<string> {
  made += 1;
  const fields = { displayName: "T", plan: "plans/basic", integrator };
  await app.admin.tenants.createTenant({ tenantId: `usage-${made}`, tenant: fields, activate: true });
  return `tenants/usage-${made}`;
}

function event(name: string, at: number, data: JsonObject, id: string = randomUUID()) {
  return { tenant: name, source: "test", id, type: "upload", eventTime: timestampFromMs(at), data };
}

async function report(events: object[]): Promise<string[]> {
  const { results } = await usage().reportUsage({ events });
  return results.map(({ outcome }) => NAMES[outcome] ?? "");
}

/** Resolves once all events are folded and all corrections counted. */
async function folded(): Promise<void> {
  await until(async () => {
    const [row] = await sql`select (select count(*) from usage_event e join usage_cursor c on c.shard = e.shard
      where (e.xid, e.seq) > (c.xid, c.seq)) + (select count(*) from usage_dirty) as left`;
    return Number(row?.left) === 0;
  });
}

interface Asked {
  startAt?: number;
  endAt?: number;
  window?: Window;
  timeZone?: string;
  dimensions?: string[];
  top?: number;
}

async function query(meter: string, scope: string, asked: Asked = {}) {
  const { startAt = START - DAY_MS, endAt = START + HOUR_MS, ...rest } = asked;
  const times = { startTime: timestampFromMs(startAt), endTime: timestampFromMs(endAt) };
  const { rows } = await usage().queryUsage({ meter: `meters/${meter}`, scope, ...times, ...rest });
  return rows.map(({ startTime, group, value }) => {
    return { at: startTime ? new Date(timestampMs(startTime)).toISOString() : "", group, value };
  });
}

const total = async (meter: string, scope: string, asked: Asked = {}) => (await query(meter, scope, asked))[0]?.value;

describe("usage events", () => {
  it("count once, however often they are sent: in one batch, in several, and through the next era", async () => {
    const name = await tenant();
    const one = event(name, START - 60_000, { size: { bytes: 10 } }, "once");
    expect(await report([one, one])).toEqual(["ACCEPTED", "DUPLICATE"]);
    expect(await report([one])).toEqual(["DUPLICATE"]);
    await Promise.all(Array.from({ length: 20 }, () => report([one])));
    expect(await report([{ ...one, source: "other" }])).toEqual(["ACCEPTED"]);
    clock.advance(33 * DAY_MS);
    expect(await report([{ ...one, eventTime: timestampFromMs(clock.now()) }])).toEqual(["DUPLICATE"]);
    clock.advance(-33 * DAY_MS);
    await folded();
    expect(await total("uploads", name)).toBe("2");
  });

  it("are refused one by one, with their reason, and leave the good ones be", async () => {
    const name = await tenant();
    const good = event(name, START, { size: { bytes: 1 } });
    const { results } = await usage().reportUsage({
      events: [
        good,
        { ...good, id: "", source: "" },
        { ...good, id: "old", eventTime: timestampFromMs(START - 32 * DAY_MS) },
        { ...good, id: "early", eventTime: timestampFromMs(START + 6 * 60_000) },
        { ...good, id: "nobody", tenant: "tenants/nobody-there" },
        { ...good, id: "large", data: { text: "x".repeat(20_000) } },
        { ...good, id: "nul", data: { text: "\0" } },
        { ...good, id: "last" },
      ],
    });
    expect(results.map(({ outcome, reason }) => [NAMES[outcome], reason])).toEqual([
      ["ACCEPTED", ""],
      ["REFUSED", "INVALID_FIELDS"],
      ["REFUSED", "INVALID_FIELDS"],
      ["REFUSED", "INVALID_FIELDS"],
      ["REFUSED", "RESOURCE_NOT_FOUND"],
      ["REFUSED", "INVALID_FIELDS"],
      ["REFUSED", "INVALID_FIELDS"],
      ["ACCEPTED", ""],
    ]);
    await folded();
    expect(await total("uploads", name)).toBe("2");
    const many = Array.from({ length: 1_001 }, () => good);
    for (const events of [[], many]) {
      expect((await refusal(usage().reportUsage({ events }))).fields).toEqual(["events"]);
    }
  });

  it("come together as each meter says, exactly, with dimensions and without", async () => {
    const name = await tenant();
    const minute = START - 30 * 60_000;
    await report([
      event(name, minute + 1, { size: { bytes: "9007199254740993" }, region: "eu", user: "ann" }),
      event(name, minute + 2, { size: { bytes: 0.1 }, region: "eu", user: "bob" }),
      event(name, minute + 3, { size: { bytes: 0.2 }, region: "us", user: "ann" }),
      event(name, minute + 4, { size: { bytes: "none" }, region: "us" }),
      { ...event(name, minute + 5, { size: { bytes: 5 } }), type: "download" },
    ]);
    await folded();
    expect(await total("bytes", name)).toBe("9007199254740993.3");
    expect(await total("uploads", name)).toBe("4");
    expect(await total("largest", name)).toBe("9007199254740993");
    expect(await total("newest", name)).toBe("0.2");
    expect(await total("people", name)).toBe("2");
    const byRegion = await query("bytes", name, { dimensions: ["region"] });
    expect(byRegion.map(({ group, value }) => [group.region, value])).toEqual([
      ["eu", "9007199254740993.1"],
      ["us", "0.2"],
    ]);
    expect((await query("bytes", name, { dimensions: ["region"], top: 1 })).map(({ group }) => group.region)).toEqual([
      "eu",
    ]);
  });

  it("are answered in the windows of a time zone, across daylight saving and half hours", async () => {
    const name = await tenant();
    // Berlin goes from UTC+1 to UTC+2 on 30 March 2031; Kathmandu is at UTC+5:45.
    clock.advance(Date.parse("2031-03-31T12:00:00Z") - clock.now());
    const at = (text: string) => event(name, Date.parse(text), { size: { bytes: 1 } });
    await report([
      at("2031-03-28T22:59:00Z"),
      at("2031-03-28T23:00:00Z"),
      at("2031-03-29T22:59:00Z"),
      at("2031-03-29T23:00:00Z"),
      at("2031-03-30T21:59:00Z"),
      at("2031-03-30T22:00:00Z"),
      at("2031-03-30T18:14:00Z"),
      at("2031-03-30T18:15:00Z"),
    ]);
    await folded();
    const range = { startAt: Date.parse("2031-03-27T23:00:00Z"), endAt: Date.parse("2031-03-31T22:00:00Z") };
    const days = async (timeZone: string) =>
      (await query("uploads", name, { ...range, window: Window.DAY, timeZone })).map(({ at: day, value }) => [
        day,
        value,
      ]);
    expect(await days("Europe/Berlin")).toEqual([
      ["2031-03-27T23:00:00.000Z", "1"],
      ["2031-03-28T23:00:00.000Z", "2"],
      ["2031-03-29T23:00:00.000Z", "4"],
      ["2031-03-30T22:00:00.000Z", "1"],
    ]);
    expect((await days("Asia/Kathmandu")).at(-1)).toEqual(["2031-03-30T18:15:00.000Z", "3"]);
    expect(await total("uploads", name, { ...range, window: Window.MONTH, timeZone: "Europe/Berlin" })).toBe("8");
    clock.advance(START - clock.now());
  });

  it("late and in any order give what they would have given in time", async () => {
    const [a, b] = [await tenant(), await tenant()];
    const events = (name: string) =>
      Array.from({ length: 200 }, (_, i) => event(name, START - (i % 37) * 61_000 - i, { size: { bytes: i * 1.5 } }));
    await report(events(a));
    await folded();
    for (const late of events(b).reverse()) await report([late]);
    await folded();
    for (const meter of ["bytes", "uploads", "largest", "newest"]) {
      const asked = { window: Window.MINUTE };
      expect(await query(meter, a, asked)).toEqual(await query(meter, b, asked));
    }
  });

  it("in more groups than a meter may have are summed up as others", async () => {
    const name = await tenant();
    const events = Array.from({ length: 1_200 }, (_, i) => event(name, START, { size: { bytes: 1 }, region: `r${i}` }));
    await report(events.slice(0, 700));
    await folded();
    await report(events.slice(700));
    await folded();
    const rows = await query("bytes", name, { dimensions: ["region"] });
    expect(rows.length).toBe(1_001);
    expect(rows.find(({ group }) => group.region === "(other)")?.value).toBe("200");
    expect(await total("bytes", name)).toBe("1200");
    expect(await verify("bytes", name)).toEqual([]);
  });
});

async function verify(meter: string, parent: string) {
  const times = { startTime: timestampFromMs(START - DAY_MS), endTime: timestampFromMs(START + HOUR_MS) };
  const { differences } = await usage().verifyUsage({ parent, meter: `meters/${meter}`, ...times });
  return differences.map(({ rolledUpValue, countedValue }) => [rolledUpValue, countedValue]);
}

describe("corrections", () => {
  it("take an event out, or give it other data, and what depends on it follows", async () => {
    const name = await tenant();
    const at = START - 2 * HOUR_MS;
    const sizes = [5, 7, 11];
    await report(sizes.map((bytes, i) => event(name, at + i, { size: { bytes }, user: `u${i}` }, `e${i}`)));
    await folded();
    const all = async () => [await total("bytes", name), await total("uploads", name), await total("largest", name)];
    expect(await all()).toEqual(["23", "3", "11"]);
    await usage().voidUsageEvent({ parent: name, source: "test", id: "e2", reason: "a mistake" });
    await folded();
    expect(await all()).toEqual(["12", "2", "7"]);
    expect(await total("people", name)).toBe("2");
    await usage().amendUsageEvent({
      parent: name,
      source: "test",
      id: "e0",
      data: { size: { bytes: 100 }, user: "u1" },
    });
    await folded();
    expect(await all()).toEqual(["107", "2", "100"]);
    expect(await total("newest", name)).toBe("7");
    expect(await total("people", name)).toBe("1");
    expect(await total("bytes", name, { window: Window.DAY, endAt: START + 12 * HOUR_MS })).toBe("107");
    const again = usage().voidUsageEvent({ parent: name, source: "test", id: "e2" });
    expect((await refusal(again)).reason).toBe("RESOURCE_NOT_FOUND");
    const { entries } = await app.admin.audit.listAuditEntries({ filter: `resource = "${name}/usageEvents/test/e2"` });
    expect(entries.map(({ reason }) => reason)).toEqual(["a mistake"]);
  });

  it("of events that are not folded yet count once, too", async () => {
    const name = await tenant();
    await report([event(name, START - 1, { size: { bytes: 5 } }, "early")]);
    await usage().amendUsageEvent({ parent: name, source: "test", id: "early", data: { size: { bytes: 6 } } });
    await folded();
    await folded();
    expect(await total("bytes", name)).toBe("6");
    expect(await verify("bytes", name)).toEqual([]);
  });
});

describe("the proof", () => {
  it("names a roll-up that is not what its events come to", async () => {
    const name = await tenant();
    await report([event(name, START - 1, { size: { bytes: 5 } }), event(name, START - 2, { size: { bytes: 6 } })]);
    await folded();
    expect(await verify("bytes", name)).toEqual([]);
    await sql`update usage_bucket set sum = 12 where meter_id = 'bytes' and grain = 'minute'
      and tenant_uid = (select uid from tenant where tenant_id = ${name.slice("tenants/".length)})`;
    expect(await verify("bytes", name)).toEqual([["12", "11"]]);
    await sql`delete from usage_bucket where meter_id = 'bytes'
      and tenant_uid = (select uid from tenant where tenant_id = ${name.slice("tenants/".length)})`;
    expect(await verify("bytes", name)).toEqual([["0", "11"]]);
  });
});

describe("who may", () => {
  it("report, ask and correct is decided by tenant and integrator", async () => {
    const [mine, other] = [await tenant("integrators/north"), await tenant("integrators/south")];
    await report([mine, other].map((name) => event(name, START - 1, { size: { bytes: 3 } })));
    await folded();
    const keyFor = async (role: string, scope: string) =>
      app.clients((await app.admin.access.createApiKey({ apiKey: { displayName: "k", role, scope } })).secret);
    const service = await keyFor("service", "platform");
    const partner = await keyFor("integrator.admin", "integrators/north");
    const member = await keyFor("tenant.viewer", mine);
    const times = { startTime: timestampFromMs(START - DAY_MS), endTime: timestampFromMs(START) };
    const asks = async (key: typeof partner, scope: string) => {
      const answer = key
        .of(UsageService)
        .queryUsage({ meter: "meters/bytes", scope, ...times, dimensions: ["tenant"] });
      return (await answer).rows.map(({ group }) => group.tenant);
    };
    expect(await asks(partner, "")).toEqual([mine]);
    expect(await asks(member, "")).toEqual([mine]);
    expect(await asks(partner, "integrators/north")).toEqual([mine]);
    expect((await refusal(asks(member, other))).reason).toBe("RESOURCE_NOT_FOUND");
    expect((await refusal(member.of(UsageService).reportUsage({ events: [event(mine, START, {})] }))).reason).toBe(
      "PERMISSION_DENIED",
    );
    const verified = await member.of(UsageService).verifyUsage({ parent: mine, meter: "meters/bytes", ...times });
    expect([verified.differences, verified.eventCount]).toEqual([[], 1n]);
    const correction = { parent: mine, source: "test", id: "x" };
    expect((await refusal(partner.of(UsageService).voidUsageEvent(correction))).reason).toBe("PERMISSION_DENIED");
    const { results } = await service.of(UsageService).reportUsage({ events: [event(other, START, {})] });
    expect(results.map(({ outcome }) => outcome)).toEqual([Outcome.ACCEPTED]);
  });
});

describe("the watermark", () => {
  it("is now when all is folded, and the receipt of the oldest event that is not, for every caller", async () => {
    const name = await tenant();
    const key = { displayName: "k", role: "tenant.viewer", scope: name };
    const member = app.clients((await app.admin.access.createApiKey({ apiKey: key })).secret);
    const times = { startTime: timestampFromMs(START - DAY_MS), endTime: timestampFromMs(START) };
    const watermarks = () =>
      Promise.all(
        [app.admin, member].map(async (clients) => {
          const answer = await clients.of(UsageService).queryUsage({ meter: "meters/bytes", scope: name, ...times });
          return answer.watermarkTime ? timestampMs(answer.watermarkTime) : 0;
        }),
      );
    await folded();
    expect(await watermarks()).toEqual([clock.now(), clock.now()]);
    const receivedAt = clock.now();
    await sql.begin(async (tx) => {
      // Nobody folds while it is held.
      await tx`select from usage_cursor for update`;
      await report([event(name, START - 1, { size: { bytes: 1 } })]);
      clock.advance(1_000);
      expect(await watermarks()).toEqual([receivedAt, receivedAt]);
    });
    await folded();
    expect(await watermarks()).toEqual([clock.now(), clock.now()]);
    clock.advance(-1_000);
  });
});

describe("a stream of usage", () => {
  it("answers each batch, in order, once it is in the database", async () => {
    const name = await tenant();
    const batches = Array.from({ length: 5 }, (_, b) =>
      Array.from({ length: 10 }, (_, i) => event(name, START - 1, { size: { bytes: 1 } }, `s${b}-${i}`)),
    );
    const seen: number[] = [];
    async function* send() {
      for (const events of [...batches, batches[0] ?? []]) yield { events };
    }
    for await (const { results } of usage().streamUsage(send())) {
      seen.push(results.filter(({ outcome }) => outcome === Outcome.ACCEPTED).length);
    }
    expect(seen).toEqual([10, 10, 10, 10, 10, 0]);
    const [row] = await sql`select count(*)::int as n from usage_event where source = 'test' and event_id like 's_-_'`;
    expect(row?.n).toBe(50);
  });

  it("is in the answers by itself, within seconds", async () => {
    const name = await tenant();
    await report([event(name, START - 1, { size: { bytes: 4 } })]);
    await until(async () => (await total("bytes", name)) === "4");
  });
});
