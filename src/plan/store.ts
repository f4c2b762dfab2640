import type { Json, Queryable } from "../platform/postgres.ts";
import type { Plan } from "./plan.ts";

/** One plan in a version, the newest when 0; undefined when there is none. */
export async function selectPlan(sql: Queryable, planId: string, version: number): Promise<Plan | undefined> {
  const [row] = await sql<Plan[]>`${columns(sql)}
    where p.plan_id = ${planId} and v.version = ${version === 0 ? sql`p.version` : version}`;
  return row;
}

/** A page of plans in their newest version, by id. */
export function selectPlans(sql: Queryable, afterId: string, limit: number): Promise<Plan[]> {
  return sql<Plan[]>`${columns(sql)}
    where p.plan_id > ${afterId} and v.version = p.version order by p.plan_id limit ${limit}`;
}

/** Inserts a plan with its first version. */
export async function insertPlan(sql: Queryable, plan: Plan): Promise<void> {
  await sql`insert into plan (uid, plan_id, version, revision, created_at)
    values (${plan.uid}, ${plan.planId}, ${plan.version}, ${plan.revision}, ${plan.createdAt})`;
  await insertVersion(sql, plan);
}

/** Adds a version to a plan and makes it the newest. */
export async function addPlanVersion(sql: Queryable, plan: Plan): Promise<void> {
  await sql`update plan set version = ${plan.version}, revision = ${plan.revision} where uid = ${plan.uid}`;
  await insertVersion(sql, plan);
}

/** Removes a plan with its versions. */
export async function deletePlanRow(sql: Queryable, uid: string): Promise<void> {
  await sql`delete from plan where uid = ${uid}`;
}

function columns(sql: Queryable) {
  return sql`select p.uid, p.plan_id as "planId", v.display_name as "displayName", v.version, v.limits, v.entitlements,
      v.settings, p.revision, p.created_at as "createdAt", v.created_at as "updatedAt"
    from plan p join plan_version v on v.plan_uid = p.uid`;
}

async function insertVersion(sql: Queryable, plan: Plan): Promise<void> {
  await sql`insert into plan_version (plan_uid, version, display_name, limits, entitlements, settings, created_at)
    values (${plan.uid}, ${plan.version}, ${plan.displayName}, ${sql.json(plan.limits as unknown as Json)},
      ${sql.json(plan.entitlements as unknown as Json)}, ${sql.json(plan.settings as unknown as Json)},
      ${plan.updatedAt})`;
}
