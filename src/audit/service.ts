import { type FilterSchema, parseFilter } from "../aip/filter.ts";
import { filterToSql } from "../aip/filter-sql.ts";
import { cutPage, decodePageToken, encodePageToken, pageSize, type Seal } from "../aip/page.ts";
import type { Ctx } from "../context.ts";
import { type MutationDeps, read } from "../mutation.ts";
import { PLATFORM_SCOPE, writeAs } from "../platform/postgres.ts";
import { type AuditEntry, insertAuditEntry, selectAuditEntries } from "./store.ts";

export interface AuditDeps extends MutationDeps {
  readonly seal: Seal;
}

/** What a filter over the audit log may name. */
const AUDIT_FILTER: FilterSchema = {
  actor: { type: "string", column: "actor" },
  method: { type: "string", column: "method" },
  resource: { type: "string", column: "resource" },
  request_id: { type: "string", column: "request_id" },
  outcome: { type: "enum", column: "outcome", values: ["OK", "DENIED"] },
  entry_time: { type: "time", column: "at" },
};

/** Lists the entries that the caller may see, newest first. Throws INVALID_FIELDS and PAGE_TOKEN_INVALID. */
export async function listAuditEntries(
  deps: AuditDeps,
  ctx: Ctx,
  input: { pageSize: number; pageToken: string; filter: string },
) {
  const size = pageSize(input.pageSize);
  const query = [ctx.method, ctx.principal.actor, input.filter];
  const [below] = decodePageToken(deps.seal, query, input.pageToken, deps.clock.now()) ?? [];
  const range = below === undefined ? {} : { below: Number(below) };
  const rows = await readPage(deps, ctx, { filter: input.filter, ...range, ascending: false, limit: size + 1 });
  return cutPage(rows, size, (last) => encodePageToken(deps.seal, query, [last.id], deps.clock.now()));
}

/**
 * Streams all entries that match and were there when it began, oldest first, a batch at a time: it ends however fast others
 * are written. Throws INVALID_FIELDS.
 */
export async function* exportAuditEntries(deps: AuditDeps, ctx: Ctx, filter: string): AsyncIterable<AuditEntry[]> {
  const [newest] = await readPage(deps, ctx, { filter, ascending: false, limit: 1 });
  if (!newest) return;
  let above = 0;
  while (above < newest.id) {
    const range = { above, below: newest.id + 1 };
    const rows = await readPage(deps, ctx, { filter, ...range, ascending: true, limit: EXPORT_BATCH });
    if (rows.length === 0) return;
    yield rows;
    above = rows.at(-1)?.id ?? newest.id;
  }
}

/** Some hundred kilobytes a message. */
const EXPORT_BATCH = 500;

/** Records an attempt that was refused. It is the node that writes it: the caller may have no rights at all. */
export async function recordDenied(
  deps: AuditDeps,
  denied: { actor: string; method: string; resource: string; callId: string; callerAddress: string; why: string },
  owner: { tenantUid: string | null; integratorUid: string | null },
): Promise<void> {
  await writeAs(deps.sql, PLATFORM_SCOPE, DENIED_TIMEOUT_MS, (tx) =>
    insertAuditEntry(tx, {
      ...owner,
      at: deps.clock.now(),
      actor: denied.actor,
      method: denied.method,
      resource: denied.resource,
      requestId: denied.callId,
      outcome: "DENIED",
      changes: [],
      reason: denied.why,
      callerAddress: denied.callerAddress,
    }),
  );
}

/** A refusal is answered without waiting for this write; a stuck one must not pile up. */
const DENIED_TIMEOUT_MS = 5_000;

function readPage(
  deps: AuditDeps,
  ctx: Ctx,
  query: { filter: string; above?: number; below?: number; ascending: boolean; limit: number },
): Promise<AuditEntry[]> {
  const parsed = parseFilter(query.filter, AUDIT_FILTER);
  const filter = parsed && filterToSql(parsed, 1);
  return read(deps, ctx, (tx) => selectAuditEntries(tx, { ...query, filter }));
}
