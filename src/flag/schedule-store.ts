import type { Filter } from "../aip/filter.ts";
import { filterToSql } from "../aip/filter-sql.ts";
import type { Json, Queryable } from "../platform/postgres.ts";
import type { Schedule } from "./schedule.ts";

const COLUMNS = `uid, schedule_id as "scheduleId", description, apply_at as "applyAt", changes, state, failure,
  finished_at as "finishedAt", creator, revision, created_at as "createdAt", updated_at as "updatedAt"`;

/** One schedule by its id, or undefined. */
export async function selectSchedule(sql: Queryable, scheduleId: string): Promise<Schedule | undefined> {
  const [row] = await sql<Schedule[]>`
    select ${sql.unsafe(COLUMNS)} from flag_schedule where schedule_id = ${scheduleId}`;
  return row;
}

/** A page of schedules that match, by id. */
export function selectSchedules(
  sql: Queryable,
  query: { filter: Filter | undefined; after: string; limit: number },
): Promise<Schedule[]> {
  const condition = query.filter ? filterToSql(query.filter, 1) : { text: "true", params: [] };
  const params = [...condition.params, query.after, query.limit];
  return sql.unsafe<Schedule[]>(
    `select ${COLUMNS} from flag_schedule where ${condition.text} and schedule_id > $${params.length - 1}
     order by schedule_id limit $${params.length}`,
    params as never[],
  );
}

/** Ids of pending schedules whose time has come, in the order in which they apply. */
export async function selectDueSchedules(sql: Queryable, now: number, limit: number): Promise<string[]> {
  const rows = await sql<{ scheduleId: string }[]>`
    select schedule_id as "scheduleId" from flag_schedule
    where state = 'PENDING' and apply_at <= ${now} order by apply_at, schedule_id limit ${limit}`;
  return rows.map(({ scheduleId }) => scheduleId);
}

/** How many schedules are pending. */
export async function countPendingSchedules(sql: Queryable): Promise<number> {
  const [row] = await sql<{ n: number }[]>`select count(*)::int as n from flag_schedule where state = 'PENDING'`;
  return row?.n ?? 0;
}

/** Inserts a schedule. */
export async function insertSchedule(sql: Queryable, schedule: Schedule): Promise<void> {
  const { uid, scheduleId } = schedule;
  await sql`insert into flag_schedule ${sql({ uid, schedule_id: scheduleId, ...fields(sql, schedule) })}`;
}

/** Writes all fields of a schedule. */
export async function updateScheduleRow(sql: Queryable, schedule: Schedule): Promise<void> {
  await sql`update flag_schedule set ${sql(fields(sql, schedule))} where uid = ${schedule.uid}`;
}

/** Removes a schedule. */
export async function deleteScheduleRow(sql: Queryable, uid: string): Promise<void> {
  await sql`delete from flag_schedule where uid = ${uid}`;
}

/** Forgets schedules that were finished before an instant; answers how many. */
export async function deleteFinishedSchedules(sql: Queryable, before: number): Promise<number> {
  const gone = await sql`delete from flag_schedule where finished_at < ${before}`;
  return gone.count;
}

function fields(sql: Queryable, schedule: Schedule) {
  return {
    description: schedule.description,
    apply_at: schedule.applyAt,
    changes: sql.json(schedule.changes as unknown as Json),
    flag_refs: [...new Set(schedule.changes.map(({ key }) => key))],
    state: schedule.state,
    failure: schedule.failure,
    finished_at: schedule.finishedAt,
    creator: schedule.creator,
    revision: schedule.revision,
    created_at: schedule.createdAt,
    updated_at: schedule.updatedAt,
  };
}
