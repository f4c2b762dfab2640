import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type FlagChangeSchema,
  FlagSchedule_State,
  type FlagScheduleSchema,
  type FlagChange as ProtoChange,
  type FlagSchedule as ProtoSchedule,
} from "@tenantplane/sdk/gen/tenantplane/v1/flag_definition_pb";
import type { FlagService } from "@tenantplane/sdk/gen/tenantplane/v1/flag_pb";
import { etagOf } from "../aip/name.ts";
import { invalidField } from "../errors.ts";
import type { Ids } from "../platform/clock.ts";
import { fromTimestamp, optionalTimestamp, toTimestamp } from "../server/convert.ts";
import type { Handlers } from "../server/handlers.ts";
import type { FlagRpcDeps } from "./base-rpc.ts";
import { flagName } from "./flag.ts";
import { checkDescription, keyOf, writtenFields } from "./name-rpc.ts";
import { flagPatchOf, toPatch } from "./parse-rpc.ts";
import { type FlagChange, type Schedule, scheduleName } from "./schedule.ts";
import {
  createSchedule,
  deleteSchedule,
  getSchedule,
  listSchedules,
  type ScheduleInput,
  updateSchedule,
} from "./schedule-service.ts";

type ScheduleRpcs =
  | "createFlagSchedule"
  | "getFlagSchedule"
  | "listFlagSchedules"
  | "updateFlagSchedule"
  | "deleteFlagSchedule";

/** The handlers of FlagService for schedules. */
export function scheduleRpc(deps: FlagRpcDeps): Pick<Handlers<typeof FlagService>, ScheduleRpcs> {
  return {
    createFlagSchedule: async ({ flagScheduleId, flagSchedule }, ctx) => {
      const scheduleId = newId(deps.ids, flagScheduleId);
      if (!flagSchedule) throw invalidField("flag_schedule", "must be set");
      const input = { ...descriptionOf(flagSchedule), ...applyAtOf(flagSchedule), ...changesOf(flagSchedule) };
      return { flagSchedule: toSchedule(await createSchedule(deps, ctx, scheduleId, input)) };
    },
    getFlagSchedule: async ({ name }, ctx) => ({ flagSchedule: toSchedule(await getSchedule(deps, ctx, idOf(name))) }),
    listFlagSchedules: async (request, ctx) => {
      const { items, token } = await listSchedules(deps, ctx, request);
      return { flagSchedules: items.map(toSchedule), nextPageToken: token };
    },
    updateFlagSchedule: async ({ flagSchedule, updateMask }, ctx) => {
      if (!flagSchedule) throw invalidField("flag_schedule", "must be set");
      const scheduleId = idOf(flagSchedule.name, "flag_schedule.name");
      const patch = patchOf(flagSchedule, updateMask?.paths);
      return { flagSchedule: toSchedule(await updateSchedule(deps, ctx, scheduleId, flagSchedule.etag, patch)) };
    },
    deleteFlagSchedule: async ({ name, etag, allowMissing }, ctx) => {
      await deleteSchedule(deps, ctx, idOf(name), { etag, allowMissing });
      return {};
    },
  };
}

/** A release touches a handful of flags. */
const CHANGES_MAX = 100;
/** All changes of a schedule together: they are answered in one message. */
const CHANGES_MAX_CHARACTERS = 1_000_000;
const ID = /^[a-z0-9-]{1,63}$/;

function newId(ids: Ids, given: string): string {
  if (given !== "" && !ID.test(given)) throw invalidField("flag_schedule_id", "must be 1 to 63 of [a-z0-9-]");
  return given || ids.uuid();
}

function idOf(name: string, field = "name"): string {
  const [, id = ""] = /^flagSchedules\/(.*)$/.exec(name) ?? [];
  if (!ID.test(id)) throw invalidField(field, "must be a name of the form flagSchedules/{schedule}");
  return id;
}

function patchOf(schedule: ProtoSchedule, mask: readonly string[] | undefined): Partial<ScheduleInput> {
  const { description, applyTime, changes } = schedule;
  const output = { state: "output", failure: "output", finish_time: "output", creator: "output" } as const;
  const known = { description: "writable", apply_time: "writable", changes: "writable", ...output } as const;
  const fields = writtenFields(mask, { description, apply_time: applyTime, changes: changes.length }, known);
  return {
    ...(fields.has("description") ? descriptionOf(schedule) : {}),
    ...(fields.has("apply_time") ? applyAtOf(schedule) : {}),
    ...(fields.has("changes") ? changesOf(schedule) : {}),
  };
}

function descriptionOf({ description }: ProtoSchedule): Pick<ScheduleInput, "description"> {
  return { description: checkDescription("flag_schedule", description) };
}

function applyAtOf({ applyTime }: ProtoSchedule): Pick<ScheduleInput, "applyAt"> {
  if (!applyTime) throw invalidField("flag_schedule.apply_time", "must be set");
  return { applyAt: fromTimestamp(applyTime) };
}

function changesOf({ changes }: ProtoSchedule): Pick<ScheduleInput, "changes"> {
  const field = "flag_schedule.changes";
  if (changes.length === 0 || changes.length > CHANGES_MAX) throw invalidField(field, `must be 1 to ${CHANGES_MAX}`);
  const parsed = changes.map((change, index) => fromChange(change, `${field}[${index}]`));
  if (JSON.stringify(parsed).length > CHANGES_MAX_CHARACTERS) {
    throw invalidField(field, `must have at most ${CHANGES_MAX_CHARACTERS} characters together`);
  }
  return { changes: parsed };
}

function fromChange({ change }: ProtoChange, field: string): FlagChange {
  switch (change.case) {
    case "update": {
      const { flag, updateMask } = change.value;
      if (!flag) throw invalidField(`${field}.update.flag`, "must be set");
      const key = keyOf(flag.name, "flags", `${field}.update.flag.name`);
      return { verb: "update", key, patch: flagPatchOf(flag, updateMask?.paths, `${field}.update.flag`) };
    }
    case "kill":
    case "revive":
      return { verb: change.case, key: keyOf(change.value, "flags", `${field}.${change.case}`) };
    case undefined:
      throw invalidField(field, "must be update, kill or revive");
    default:
      return change satisfies never;
  }
}

function toSchedule(schedule: Schedule): MessageInitShape<typeof FlagScheduleSchema> {
  const { uid, scheduleId, description, failure, creator, revision } = schedule;
  return {
    name: scheduleName(scheduleId),
    ...{ description, failure, creator },
    applyTime: toTimestamp(schedule.applyAt),
    changes: schedule.changes.map(toChange),
    state: FlagSchedule_State[schedule.state],
    ...optionalTimestamp("finishTime", schedule.finishedAt),
    etag: etagOf(uid, revision),
    createTime: toTimestamp(schedule.createdAt),
    updateTime: toTimestamp(schedule.updatedAt),
  };
}

function toChange(change: FlagChange): MessageInitShape<typeof FlagChangeSchema> {
  if (change.verb === "update") return { change: { case: "update", value: toPatch(change.key, change.patch) } };
  return { change: { case: change.verb, value: flagName(change.key) } };
}
