import type { Json, Queryable } from "../platform/postgres.ts";

/** One row of the audit log, as it is written. */
export interface NewAuditEntry {
  readonly tenantUid: string | null;
  readonly integratorUid: string | null;
  readonly at: number;
  readonly actor: string;
  readonly method: string;
  readonly resource: string;
  readonly requestId: string;
  readonly outcome: "OK" | "DENIED";
  readonly changes: readonly { field: string; before: Json; after: Json }[];
  readonly reason: string;
  readonly callerAddress: string;
}

/** One row of the audit log, as it is read. */
export interface AuditEntry extends NewAuditEntry {
  readonly id: number;
}

/** Appends one entry. */
export async function insertAuditEntry(sql: Queryable, entry: NewAuditEntry): Promise<void> {
  await sql`insert into audit_entry (tenant_uid, integrator_uid, at, actor, method, resource, request_id, outcome,
      changes, reason, caller_address)
    values (${entry.tenantUid}, ${entry.integratorUid}, ${entry.at}, ${entry.actor}, ${entry.method},
      ${entry.resource}, ${entry.requestId}, ${entry.outcome}, ${sql.json(entry.changes as Json)}, ${entry.reason},
      ${entry.callerAddress})`;
}

/** Entries that match, by id, with ids between two others. */
export function selectAuditEntries(
  sql: Queryable,
  query: {
    filter: { text: string; params: unknown[] } | undefined;
    above?: number;
    below?: number;
    ascending: boolean;
    limit: number;
  },
): Promise<AuditEntry[]> {
  const params = [...(query.filter?.params ?? [])];
  const conditions = query.filter ? [`(${query.filter.text})`] : [];
  for (const [sign, id] of [
    [">", query.above],
    ["<", query.below],
  ] as const) {
    if (id === undefined) continue;
    params.push(id);
    conditions.push(`id ${sign} $${params.length}`);
  }
  params.push(query.limit);
  const where = conditions.length > 0 ? `where ${conditions.join(" and ")}` : "";
  return sql.unsafe<AuditEntry[]>(
    `select id, tenant_uid as "tenantUid", integrator_uid as "integratorUid", at, actor, method, resource,
       request_id as "requestId", outcome, changes, reason, caller_address as "callerAddress"
     from audit_entry ${where} order by id ${query.ascending ? "asc" : "desc"} limit $${params.length}`,
    params as never[],
  );
}
