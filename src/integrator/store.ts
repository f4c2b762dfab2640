import type { Json, Queryable } from "../platform/postgres.ts";
import type { Integrator } from "./integrator.ts";

/** One integrator by its id, or undefined. */
export async function selectIntegrator(sql: Queryable, integratorId: string): Promise<Integrator | undefined> {
  const [row] = await sql<Integrator[]>`${columns(sql)} where integrator_id = ${integratorId}`;
  return row;
}

/** A page of integrators, by id. */
export function selectIntegrators(sql: Queryable, afterId: string, limit: number): Promise<Integrator[]> {
  return sql<Integrator[]>`${columns(sql)} where integrator_id > ${afterId} order by integrator_id limit ${limit}`;
}

/** Inserts an integrator. */
export async function insertIntegrator(sql: Queryable, integrator: Integrator): Promise<void> {
  await sql`insert into integrator (uid, integrator_id, display_name, limits, revision, created_at, updated_at)
    values (${integrator.uid}, ${integrator.integratorId}, ${integrator.displayName},
      ${sql.json(integrator.limits as unknown as Json)}, ${integrator.revision}, ${integrator.createdAt},
      ${integrator.updatedAt})`;
}

/** Writes what can change of an integrator. */
export async function updateIntegratorRow(sql: Queryable, integrator: Integrator): Promise<void> {
  await sql`update integrator set display_name = ${integrator.displayName},
    limits = ${sql.json(integrator.limits as unknown as Json)}, revision = ${integrator.revision},
    updated_at = ${integrator.updatedAt} where uid = ${integrator.uid}`;
}

/** Removes an integrator; one with tenants shows as a foreign key violation. */
export async function deleteIntegratorRow(sql: Queryable, uid: string): Promise<void> {
  await sql`delete from integrator where uid = ${uid}`;
}

function columns(sql: Queryable) {
  return sql`select uid, integrator_id as "integratorId", display_name as "displayName", limits, revision,
    created_at as "createdAt", updated_at as "updatedAt" from integrator`;
}
