import { parseFilter } from "../aip/filter.ts";
import { requireEtag } from "../aip/name.ts";
import { type Ctx, withFacts } from "../context.ts";
import { alreadyExists, DomainError, invalidField, notFound } from "../errors.ts";
import { mutate, type Written } from "../mutation.ts";
import type { Queryable } from "../platform/postgres.ts";
import { viewSchedule } from "./audit-view.ts";
import { FLAGS_ROOT, type FlagDeps, type PageInput, readFor, readPage } from "./base-service.ts";
import { checkDocuments } from "./check-service.ts";
import { type Flag, flagName, patched, withKilled } from "./flag.ts";
import { SCHEDULE_FILTER } from "./query.ts";
import { writeFlag } from "./revision-service.ts";
import { type FlagChange, type Schedule, scheduleName } from "./schedule.ts";
import {
  countPendingSchedules,
  deleteScheduleRow,
  insertSchedule,
  selectDueSchedules,
  selectSchedule,
  selectSchedules,
  updateScheduleRow,
} from "./schedule-store.ts";
import { selectFlagsByKey } from "./store.ts";

/** What a caller decides of a schedule. */
export type ScheduleInput = Pick<Schedule, "description" | "applyAt" | "changes">;

/** Creates a schedule; its changes must be right as things are now. Throws RESOURCE_EXISTS and INVALID_FIELDS. */
export async function createSchedule(deps: FlagDeps, ctx: Ctx, scheduleId: string, input: ScheduleInput) {
  const { value } = await mutate<Schedule>(deps, ctx, FLAGS_ROOT, async ({ tx, now, record }) => {
    if (await selectSchedule(tx, scheduleId)) throw alreadyExists("FlagSchedule", scheduleName(scheduleId));
    if ((await countPendingSchedules(tx)) >= PENDING_MAX) {
      throw invalidField("flag_schedule", `at most ${PENDING_MAX} schedules may be pending`);
    }
    requireFuture(now, input.applyAt);
    await prepare(deps, tx, input.changes);
    const schedule: Schedule = {
      ...input,
      uid: deps.ids.uuid(),
      scheduleId,
      state: "PENDING",
      failure: "",
      finishedAt: null,
      creator: ctx.principal.actor,
      revision: 1,
      createdAt: now,
      updatedAt: now,
    };
    await insertSchedule(tx, schedule);
    await record({ ...noun(scheduleId), before: null, after: schedule });
    return schedule;
  });
  return value;
}

/** Reads a schedule. Throws RESOURCE_NOT_FOUND. */
export function getSchedule(deps: FlagDeps, ctx: Ctx, scheduleId: string): Promise<Schedule> {
  return readFor(deps, ctx, (tx) => requireSchedule(tx, scheduleId));
}

/** Lists schedules by id. Throws INVALID_FIELDS and PAGE_TOKEN_INVALID. */
export function listSchedules(deps: FlagDeps, ctx: Ctx, input: PageInput & { readonly filter: string }) {
  const filter = parseFilter(input.filter, SCHEDULE_FILTER);
  return readPage<Schedule>(deps, ctx, {
    ...input,
    query: [input.filter],
    select: (tx, after, limit) => selectSchedules(tx, { filter, after, limit }),
    key: (last) => last.scheduleId,
  });
}

/** Writes fields of a pending schedule. Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH, INVALID_FIELDS and SCHEDULE_FINISHED. */
export async function updateSchedule(
  deps: FlagDeps,
  ctx: Ctx,
  scheduleId: string,
  etag: string,
  patch: Partial<ScheduleInput>,
): Promise<Schedule> {
  const { value } = await mutate<Schedule>(deps, ctx, FLAGS_ROOT, async ({ tx, now, record }) => {
    const before = await requireSchedule(tx, scheduleId);
    const name = scheduleName(scheduleId);
    requireEtag(etag, before.uid, before.revision, name);
    if (before.state !== "PENDING") {
      throw new DomainError("SCHEDULE_FINISHED", `${name} is ${before.state}`, { resource: name, state: before.state });
    }
    const after = { ...before, ...patch, revision: before.revision + 1, updatedAt: now };
    requireFuture(now, after.applyAt);
    await prepare(deps, tx, after.changes);
    await updateScheduleRow(tx, after);
    await record({ ...noun(scheduleId), before, after });
    return after;
  });
  return value;
}

/** Deletes a schedule. Throws RESOURCE_NOT_FOUND and ETAG_MISMATCH. */
export function deleteSchedule(
  deps: FlagDeps,
  ctx: Ctx,
  scheduleId: string,
  options: { readonly etag: string; readonly allowMissing: boolean },
): Promise<Written<object>> {
  return mutate(deps, ctx, FLAGS_ROOT, async ({ tx, record }) => {
    const before = await selectSchedule(tx, scheduleId);
    if (!before && options.allowMissing) return {};
    if (!before) throw notFound("FlagSchedule", scheduleName(scheduleId));
    requireEtag(options.etag, before.uid, before.revision, scheduleName(scheduleId));
    await deleteScheduleRow(tx, before.uid);
    await record({ ...noun(scheduleId), before, after: null });
    return {};
  });
}

/**
 * Applies the schedules whose time has come, at most `limit`, each as a whole or not at all; answers how many. Safe to run on
 * several nodes at once.
 */
export async function applyDueSchedules(deps: FlagDeps, ctx: Ctx, limit: number): Promise<number> {
  const ids = await readFor(deps, ctx, (tx) => selectDueSchedules(tx, deps.clock.now(), limit));
  for (const scheduleId of ids) {
    const own = withFacts(ctx, { reason: scheduleName(scheduleId) });
    await mutate(deps, own, FLAGS_ROOT, async (mutation) => {
      const { tx, now, record } = mutation;
      const before = await selectSchedule(tx, scheduleId);
      if (before?.state !== "PENDING" || before.applyAt > now) return {};
      const outcome = await prepare(deps, tx, before.changes).catch(failureOf);
      const failure = typeof outcome === "string" ? outcome : "";
      if (typeof outcome !== "string") {
        for (const [flag, next] of outcome) await writeFlag(mutation, own, "schedule", flag, next);
      }
      const state = failure === "" ? "APPLIED" : "FAILED";
      const after: Schedule = {
        ...before,
        state,
        failure,
        finishedAt: now,
        revision: before.revision + 1,
        updatedAt: now,
      };
      await updateScheduleRow(tx, after);
      await record({ ...noun(scheduleId), before, after });
      return {};
    });
  }
  return ids.length;
}

/** More than a release calendar holds; each is looked at when flags are deleted. */
const PENDING_MAX = 1_000;

// The flags of the changes as they are, with what they shall be. Reads only: a transaction that it fails in can go on.
async function prepare(deps: FlagDeps, tx: Queryable, changes: readonly FlagChange[]): Promise<[Flag, Flag][]> {
  const rows = await selectFlagsByKey(tx, [...new Set(changes.map(({ key }) => key))]);
  const before = new Map(rows.map((flag) => [flag.definition.key, flag]));
  const after = new Map(before);
  const fields = new Map<string, string>();
  for (const [index, change] of changes.entries()) {
    const flag = after.get(change.key);
    const field = `flag_schedule.changes[${index}]`;
    if (!flag) throw invalidField(field, `${flagName(change.key)} does not exist`);
    const next = change.verb === "update" ? patched(flag, change.patch) : withKilled(flag, change.verb === "kill");
    after.set(change.key, next);
    if (change.verb === "update") fields.set(change.key, `${field}.update.flag`);
  }
  // Kills and revivals are not checked, as elsewhere.
  const unchecked = [...fields].map(([key, field]) => ({ field, definition: after.get(key)?.definition }));
  const { flags } = await checkDocuments(tx, deps.regex, { flags: unchecked, segments: [] });
  const checked = new Map(flags.map((definition) => [definition.key, definition]));
  return rows.map((flag) => {
    const next = after.get(flag.definition.key) ?? flag;
    return [flag, { ...next, definition: checked.get(flag.definition.key) ?? next.definition }];
  });
}

// What is wrong with the changes is the schedule's end; a fault of the database is for another run.
function failureOf(error: unknown): string {
  if (error instanceof DomainError && ["invalid_argument", "failed_precondition"].includes(error.code)) {
    const violations = error.details.violations ?? [];
    return [error.message, ...violations.map(({ field, description }) => `${field}: ${description}`)]
      .join("\n")
      .slice(0, FAILURE_MAX_CHARACTERS);
  }
  throw error;
}

/** A few lines for people. */
const FAILURE_MAX_CHARACTERS = 2_000;

function requireFuture(now: number, applyAt: number): void {
  if (applyAt <= now) throw invalidField("flag_schedule.apply_time", "must be in the future");
}

async function requireSchedule(sql: Queryable, scheduleId: string): Promise<Schedule> {
  const schedule = await selectSchedule(sql, scheduleId);
  if (!schedule) throw notFound("FlagSchedule", scheduleName(scheduleId));
  return schedule;
}

function noun(scheduleId: string) {
  const resource = scheduleName(scheduleId);
  return { noun: "flagSchedule" as const, resource, tenantUid: null, integratorUid: null, auditView: viewSchedule };
}
