import type { Clients } from "./app.ts";
import { BOOLEAN_FLAG, serving } from "./flags.ts";
import type { Write } from "./writes.ts";

const LATER = { seconds: 4_000_000_000n, nanos: 0 };

/** How to make a request of each writing RPC of FlagService; see writes.ts. */
export const FLAG_WRITES: Readonly<Record<string, (admin: Clients, n: number) => Promise<Write>>> = {
  "FlagService.CreateFlag": async (_, n) =>
    varied({ flagId: `made-${n}`, flag: BOOLEAN_FLAG }, { flagId: `other-${n}` }),
  "FlagService.UpdateFlag": async (admin, n) => {
    const flag = { name: await flagOf(admin, n), description: "new", defaultServe: serving("on") };
    return varied({ flag }, { flag: { ...flag, description: "other" } });
  },
  "FlagService.KillFlag": (admin, n) => named(flagOf(admin, n)),
  "FlagService.ReviveFlag": (admin, n) => named(flagOf(admin, n)),
  "FlagService.RollbackFlag": async (admin, n) => {
    const name = await flagOf(admin, n);
    await admin.flags.updateFlag({ flag: { name, description: "second" } });
    return varied({ name, toRevision: 1n }, { toRevision: 2n });
  },
  "FlagService.DeleteFlag": async (admin, n) => varied({ name: await flagOf(admin, n) }, { allowMissing: true }),
  "FlagService.CreateFlagSegment": async (_, n) =>
    varied({ flagSegmentId: `made-${n}`, flagSegment: { description: "s" } }, { flagSegmentId: `other-${n}` }),
  "FlagService.UpdateFlagSegment": async (admin, n) => {
    const flagSegment = { name: await segmentOf(admin, n), description: "new" };
    return varied({ flagSegment }, { flagSegment: { ...flagSegment, description: "other" } });
  },
  "FlagService.AddFlagSegmentMembers": async (admin, n) =>
    varied({ name: await segmentOf(admin, n), keys: ["u3", "u4"] }, { keys: ["u5"] }),
  "FlagService.RemoveFlagSegmentMembers": async (admin, n) =>
    varied({ name: await segmentOf(admin, n), keys: ["u1"] }, { keys: ["u2"] }),
  "FlagService.DeleteFlagSegment": async (admin, n) =>
    varied({ name: await segmentOf(admin, n) }, { allowMissing: true }),
  "FlagService.CreateFlagGroup": async (_, n) =>
    varied({ flagGroupId: `made-${n}`, flagGroup: { description: "g" } }, { flagGroupId: `other-${n}` }),
  "FlagService.UpdateFlagGroup": async (admin, n) => {
    const flagGroup = { name: await groupOf(admin, n), description: "new" };
    return varied({ flagGroup }, { flagGroup: { ...flagGroup, description: "other" } });
  },
  "FlagService.DeleteFlagGroup": async (admin, n) => varied({ name: await groupOf(admin, n) }, { allowMissing: true }),
  "FlagService.CreateFlagOverride": async (admin, n) => {
    const flag = await flagOf(admin, n);
    const request = { parent: await tenantOf(admin, n), flagOverrideId: flag.slice("flags/".length) };
    const flagOverride = { serve: serving("on"), reason: "r" };
    return varied({ ...request, flagOverride }, { flagOverride: { ...flagOverride, reason: "other" } });
  },
  "FlagService.UpdateFlagOverride": async (admin, n) => {
    const flagOverride = { name: await overrideOf(admin, n), reason: "new" };
    return varied({ flagOverride }, { flagOverride: { ...flagOverride, reason: "other" } });
  },
  "FlagService.DeleteFlagOverride": async (admin, n) =>
    varied({ name: await overrideOf(admin, n) }, { allowMissing: true }),
  "FlagService.CreateFlagSchedule": async (admin, n) => {
    const changes = [{ change: { case: "kill" as const, value: await flagOf(admin, n) } }];
    const flagSchedule = { applyTime: LATER, changes };
    return varied({ flagScheduleId: `made-${n}`, flagSchedule }, { flagScheduleId: `other-${n}` });
  },
  "FlagService.UpdateFlagSchedule": async (admin, n) => {
    const flagSchedule = { name: await scheduleOf(admin, n), description: "new" };
    return varied({ flagSchedule }, { flagSchedule: { ...flagSchedule, description: "other" } });
  },
  "FlagService.DeleteFlagSchedule": async (admin, n) =>
    varied({ name: await scheduleOf(admin, n) }, { allowMissing: true }),
  "FlagService.ReportFlagEvaluations": async (admin, n) => {
    const summary = { flag: await flagOf(admin, n), variant: "on", count: 3n };
    return varied({ summaries: [summary] }, { summaries: [{ ...summary, count: 4n }] });
  },
  "FlagService.ImportFlags": async (_, n) => {
    const flags = (key: string) =>
      JSON.stringify({ flags: { [key]: { state: "ENABLED", variants: { on: true }, defaultVariant: "on" } } });
    return varied({ flagdJson: flags(`imported-${n}`) }, { flagdJson: flags(`other-${n}`) });
  },
};

function varied(request: object, change: object): Write {
  return { request, other: { ...request, ...change } };
}

async function named(name: Promise<string>): Promise<Write> {
  return varied({ name: await name, reason: "why" }, { reason: "other" });
}

async function flagOf(admin: Clients, n: number): Promise<string> {
  return (await admin.flags.createFlag({ flagId: `walk-${n}`, flag: BOOLEAN_FLAG })).flag?.name ?? "";
}

async function segmentOf(admin: Clients, n: number): Promise<string> {
  await admin.flags.createFlagSegment({ flagSegmentId: `walk-${n}`, flagSegment: { description: "s" } });
  const name = `flagSegments/walk-${n}`;
  await admin.flags.addFlagSegmentMembers({ name, keys: ["u1", "u2"] });
  return name;
}

async function groupOf(admin: Clients, n: number): Promise<string> {
  await admin.flags.createFlagGroup({ flagGroupId: `walk-${n}`, flagGroup: { description: "g" } });
  return `flagGroups/walk-${n}`;
}

async function scheduleOf(admin: Clients, n: number): Promise<string> {
  const changes = [{ change: { case: "kill" as const, value: await flagOf(admin, n) } }];
  await admin.flags.createFlagSchedule({ flagScheduleId: `walk-${n}`, flagSchedule: { applyTime: LATER, changes } });
  return `flagSchedules/walk-${n}`;
}

async function tenantOf(admin: Clients, n: number): Promise<string> {
  await admin.tenants.createTenant({ tenantId: `walk-${n}`, tenant: { displayName: "T", plan: "plans/basic" } });
  return `tenants/walk-${n}`;
}

async function overrideOf(admin: Clients, n: number): Promise<string> {
  const parent = await tenantOf(admin, n);
  await flagOf(admin, n);
  const request = { parent, flagOverrideId: `walk-${n}`, flagOverride: { serve: serving("on") } };
  return (await admin.flags.createFlagOverride(request)).flagOverride?.name ?? "";
}
