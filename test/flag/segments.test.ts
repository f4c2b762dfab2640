import { FlagSegment_List as List } from "@tenantplane/sdk/gen/tenantplane/v1/flag_definition_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { BOOLEAN_FLAG, clause, serving, when } from "../support/flags.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  const { admin } = app;
  await admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  await admin.tenants.createTenant({
    tenantId: "acme",
    tenant: { displayName: "A", plan: "plans/basic" },
    activate: true,
  });
  const match = when(clause("", "SEGMENT", "testers"));
  await admin.flags.createFlagSegment({ flagSegmentId: "testers", flagSegment: { memberBy: "email" } });
  const rules = [{ id: "testers", match, serve: serving("on") }];
  await admin.flags.createFlag({ flagId: "tested", flag: { ...BOOLEAN_FLAG, rules } });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const name = "flagSegments/testers";

async function isIn(email: string, minRevision = ""): Promise<boolean> {
  const request = { tenant: "tenants/acme", flag: "flags/tested", context: { email }, minRevision };
  return (await app.admin.flags.evaluateFlag(request)).evaluation?.variant === "on";
}

describe("a segment's lists", () => {
  it("take keys in, move them over, and let them go", async () => {
    const { flags } = app.admin;
    const added = await flags.addFlagSegmentMembers({ name, keys: ["a@x.org", "b@x.org", "a@x.org"] });
    expect([added.flagSegment?.includedCount, await isIn("a@x.org", added.revision), await isIn("c@x.org")]).toEqual([
      2,
      true,
      false,
    ]);
    const moved = await flags.addFlagSegmentMembers({ name, keys: ["b@x.org", "d@x.org"], list: List.EXCLUDED });
    expect([moved.flagSegment?.includedCount, moved.flagSegment?.excludedCount]).toEqual([1, 2]);
    expect(await isIn("b@x.org", moved.revision)).toBe(false);
    const removed = await flags.removeFlagSegmentMembers({ name, keys: ["a@x.org", "d@x.org", "never@x.org"] });
    expect([removed.flagSegment?.includedCount, removed.flagSegment?.excludedCount]).toEqual([0, 1]);
    expect(await isIn("a@x.org", removed.revision)).toBe(false);
    const excluded = await flags.listFlagSegmentMembers({ name, list: List.EXCLUDED });
    expect(excluded.flagSegmentMembers.map(({ key }) => key)).toEqual(["b@x.org"]);
    const { entries } = await app.admin.audit.listAuditEntries({
      filter: `resource = "${name}" AND method = "*Members"`,
    });
    expect(entries).toHaveLength(3);
  });

  it("hold a hundred thousand keys, told of in pieces and read in pages", async () => {
    const { flags } = app.admin;
    const keyOf = (n: number) => `member-${String(n).padStart(6, "0")}@example.org`;
    const add = (from: number, count: number) =>
      flags.addFlagSegmentMembers({ name, keys: Array.from({ length: count }, (_, i) => keyOf(from + i)) });
    let last = await add(0, 1_000);
    for (let from = 1_000; from < 100_000; from += 1_000) last = await add(from, 1_000);
    expect([last.flagSegment?.includedCount, await isIn(keyOf(99_999), last.revision)]).toEqual([100_000, true]);
    expect((await refusal(add(100_000, 1))).fields).toEqual(["keys"]);
    let token = "";
    let seen = 0;
    do {
      const page = await flags.listFlagSegmentMembers({ name, pageSize: 1_000, pageToken: token });
      seen += page.flagSegmentMembers.length;
      token = page.nextPageToken;
    } while (token !== "");
    expect(seen).toBe(100_000);
    // The definition that rules and answers carry knows nothing of the keys.
    const { flagSegment } = await flags.getFlagSegment({ name });
    expect(
      JSON.stringify(flagSegment, (_, value) => (typeof value === "bigint" ? String(value) : value)).length,
    ).toBeLessThan(500);
  });

  it("refuse too many keys at once, and keys that are none", async () => {
    const { flags } = app.admin;
    const fieldsOf = async (keys: string[]) => (await refusal(flags.addFlagSegmentMembers({ name, keys }))).fields;
    expect(await fieldsOf([])).toEqual(["keys"]);
    expect(await fieldsOf(Array.from({ length: 1_001 }, (_, i) => `k${i}`))).toEqual(["keys"]);
    expect(await fieldsOf(["fine", ""])).toEqual(["keys[1]"]);
    expect(await fieldsOf(["x".repeat(257)])).toEqual(["keys[0]"]);
    expect(await fieldsOf(["a\u0000b"])).toEqual(["keys[0]"]);
    const missing = flags.addFlagSegmentMembers({ name: "flagSegments/none", keys: ["a"] });
    expect((await refusal(missing)).reason).toBe("RESOURCE_NOT_FOUND");
  });

  it("are gone with the segment, also when one of its name comes again", async () => {
    const { flags } = app.admin;
    await flags.createFlagSegment({ flagSegmentId: "again", flagSegment: {} });
    await flags.addFlagSegmentMembers({ name: "flagSegments/again", keys: ["u1"] });
    await flags.deleteFlagSegment({ name: "flagSegments/again" });
    await flags.createFlagSegment({ flagSegmentId: "again", flagSegment: {} });
    const rules = [{ id: "r", match: when(clause("", "SEGMENT", "again")), serve: serving("on") }];
    const { revision } = await flags.createFlag({ flagId: "again", flag: { ...BOOLEAN_FLAG, rules } });
    const request = {
      tenant: "tenants/acme",
      flag: "flags/again",
      context: { targetingKey: "u1" },
      minRevision: revision,
    };
    expect((await flags.evaluateFlag(request)).evaluation?.variant).toBe("off");
  });
});
