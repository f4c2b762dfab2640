import { FlagSchedule_State as State } from "@tenantplane/sdk/gen/tenantplane/v1/flag_definition_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, createFakeClock, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { BOOLEAN_FLAG, serving } from "../support/flags.ts";

const clock = createFakeClock(Date.UTC(2026, 0, 1));
let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database, { clock });
  for (const flagId of ["a", "b", "c"]) await app.admin.flags.createFlag({ flagId, flag: BOOLEAN_FLAG });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const inSeconds = (seconds: number) => ({ seconds: BigInt(clock.now() / 1_000 + seconds), nanos: 0 });
const update = (key: string, flag: object, ...paths: string[]) => ({
  change: { case: "update" as const, value: { flag: { name: `flags/${key}`, ...flag }, updateMask: { paths } } },
});
const kill = (key: string) => ({ change: { case: "kill" as const, value: `flags/${key}` } });

async function flagAt(key: string) {
  const { flag } = await app.admin.flags.getFlag({ name: `flags/${key}` });
  return { served: flag?.defaultServe?.serve.value, killed: flag?.killed, revision: Number(flag?.revision) };
}

describe("a schedule", () => {
  it("applies all of its changes at its time, once, and not before", async () => {
    const { flags } = app.admin;
    const changes = [
      update("a", { defaultServe: serving("on") }, "default_serve"),
      update("a", { offVariant: "" }, "off_variant"),
      kill("b"),
    ];
    const flagSchedule = { description: "launch", applyTime: inSeconds(60), changes };
    const made = await flags.createFlagSchedule({ flagScheduleId: "launch", flagSchedule });
    expect(made.flagSchedule).toMatchObject({ ...flagSchedule, state: State.PENDING, name: "flagSchedules/launch" });
    await app.tick();
    expect([await flagAt("a"), await flagAt("b")]).toEqual([
      { served: "off", killed: false, revision: 1 },
      { served: "off", killed: false, revision: 1 },
    ]);
    clock.advance(61_000);
    // On several nodes at once, and again.
    await Promise.all([app.tick(), app.tick()]);
    await app.tick();
    expect([await flagAt("a"), await flagAt("b")]).toEqual([
      { served: "on", killed: false, revision: 2 },
      { served: "off", killed: true, revision: 2 },
    ]);
    const done = await flags.getFlagSchedule({ name: "flagSchedules/launch" });
    expect([done.flagSchedule?.state, done.flagSchedule?.failure]).toEqual([State.APPLIED, ""]);
    const { flagRevisions } = await flags.listFlagRevisions({ name: "flags/a" });
    expect(flagRevisions.map(({ verb, actor, reason }) => [verb, actor, reason])[0]).toEqual([
      "schedule",
      "system/schedules",
      "flagSchedules/launch",
    ]);
    const late = flags.updateFlagSchedule({ flagSchedule: { name: "flagSchedules/launch", description: "x" } });
    expect((await refusal(late)).reason).toBe("SCHEDULE_FINISHED");
  });

  it("is refused when its changes are wrong now, with every field by its path", async () => {
    const create = (changes: object[], applyTime = inSeconds(60)) =>
      refusal(app.admin.flags.createFlagSchedule({ flagSchedule: { applyTime, changes } }));
    expect((await create([update("a", { defaultServe: serving("gone") }, "default_serve")])).fields).toEqual([
      "flag_schedule.changes[0].update.flag.default_serve.variant",
    ]);
    expect((await create([kill("a"), kill("none")])).fields).toEqual(["flag_schedule.changes[1]"]);
    expect((await create([kill("a")], inSeconds(-1))).fields).toEqual(["flag_schedule.apply_time"]);
    expect((await create([])).fields).toEqual(["flag_schedule.changes"]);
    expect((await create([{}])).fields).toEqual(["flag_schedule.changes[0]"]);
    expect((await create(Array.from({ length: 101 }, () => kill("a")))).fields).toEqual(["flag_schedule.changes"]);
  });

  it("does nothing at all when a change has become wrong, and says why", async () => {
    const { flags } = app.admin;
    await flags.updateFlag({ flag: { name: "flags/c", variants: { on: true, off: false, maybe: true } } });
    const changes = [kill("a"), update("c", { defaultServe: serving("maybe") }, "default_serve")];
    await flags.createFlagSchedule({ flagScheduleId: "stale", flagSchedule: { applyTime: inSeconds(60), changes } });
    await flags.updateFlag({ flag: { name: "flags/c", variants: { on: true, off: false } } });
    const before = await flagAt("a");
    clock.advance(61_000);
    await app.tick();
    const { flagSchedule } = await flags.getFlagSchedule({ name: "flagSchedules/stale" });
    expect([flagSchedule?.state, flagSchedule?.failure.includes("maybe"), await flagAt("a")]).toEqual([
      State.FAILED,
      true,
      before,
    ]);
  });

  it("holds its flags while it is pending, and lets go when it is deleted", async () => {
    const { flags } = app.admin;
    await flags.createFlag({ flagId: "held", flag: BOOLEAN_FLAG });
    const flagSchedule = { applyTime: inSeconds(60), changes: [kill("held")] };
    const { flagSchedule: made } = await flags.createFlagSchedule({ flagSchedule });
    expect((await refusal(flags.deleteFlag({ name: "flags/held" }))).reason).toBe("HAS_DEPENDENTS");
    const pending = await flags.listFlagSchedules({ filter: "state = PENDING" });
    expect(pending.flagSchedules.map(({ name }) => name)).toEqual([made?.name]);
    await flags.deleteFlagSchedule({ name: made?.name ?? "" });
    await flags.deleteFlag({ name: "flags/held" });
  });
});
