import { systemClock } from "./clock.ts";
import { openPostgres, postgresProblem, type Sql } from "./postgres.ts";

/** What a doctor wants to know of a Postgres, without judging it. */
export interface PostgresFacts {
  readonly version: string;
  readonly versionNumber: number;
  readonly isReplica: boolean;
  readonly isReadOnly: boolean;
  readonly encoding: string;
  readonly user: string;
  /** May make the role that the server works as. */
  readonly mayCreateRoles: boolean;
  readonly mayCreateTables: boolean;
  /** The role that the server works as; undefined when there is none yet. */
  readonly role: RoleFacts | undefined;
  /** Tables that the user neither owns nor owns by a role of its own. */
  readonly foreignTables: readonly string[];
  readonly transactions: readonly OpenTransaction[];
  readonly preparedTransactions: number;
  /** Sessions of other users can be seen. */
  readonly seesAllSessions: boolean;
  readonly connections: number;
  readonly connectionsMax: number;
  /** How far Postgres' clock is ahead of ours. */
  readonly clockAheadMs: number;
}

export interface RoleFacts {
  readonly bypassesRowSecurity: boolean;
  /** The user may take it on. */
  readonly mayBeTakenOn: boolean;
  readonly ownedTables: readonly string[];
  /** Tables that it may read although row level security is not forced on them. */
  readonly unfencedTables: readonly string[];
  /** Append-only tables whose rows it may change or remove. */
  readonly rewritableTables: readonly string[];
}

/** A transaction that has an id, and so holds back whoever reads in commit order. */
export interface OpenTransaction {
  readonly pid: number;
  readonly application: string;
  readonly database: string;
  readonly state: string;
  readonly seconds: number;
}

/** Runs `fn` with a connection of its own. Throws OperatorError when there is none to be had. */
export async function withPostgres<T>(url: string, fn: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = openPostgres(url, { poolSize: 1, name: "tenantplane doctor" });
  try {
    return await fn(sql);
  } catch (error) {
    throw postgresProblem(error, url);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** Reads the facts; `role` is who the server works as, `appendOnly` the tables that it must not rewrite. */
export async function readPostgresFacts(
  sql: Sql,
  { role, appendOnly }: { role: string; appendOnly: readonly string[] },
): Promise<PostgresFacts> {
  const [server] = await sql<Omit<PostgresFacts, "role" | "foreignTables" | "transactions" | "clockAheadMs">[]>`
    select current_setting('server_version') as version, current_setting('server_version_num')::int as "versionNumber",
      pg_is_in_recovery() as "isReplica", current_setting('transaction_read_only') = 'on' as "isReadOnly",
      current_setting('server_encoding') as encoding, current_user as user,
      (select rolsuper or rolcreaterole from pg_roles where rolname = current_user) as "mayCreateRoles",
      has_schema_privilege('public', 'CREATE') as "mayCreateTables",
      (select count(*)::int from pg_prepared_xacts) as "preparedTransactions",
      pg_has_role('pg_read_all_stats', 'USAGE') as "seesAllSessions",
      (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as connections,
      current_setting('max_connections')::int as "connectionsMax"`;
  if (!server) throw new Error("Postgres answered no row");
  return {
    ...server,
    role: await readRole(sql, role, appendOnly),
    foreignTables: await names(sql`select relname as name from pg_class
      where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace and not pg_has_role(relowner, 'USAGE')`),
    transactions: await sql<OpenTransaction[]>`
      select pid, application_name as application, coalesce(datname, '') as database, coalesce(state, '') as state,
        extract(epoch from clock_timestamp() - xact_start)::float as seconds
      from pg_stat_activity where backend_xid is not null and pid <> pg_backend_pid() order by xact_start`,
    clockAheadMs: await readClockAhead(sql),
  };
}

async function readRole(sql: Sql, role: string, appendOnly: readonly string[]): Promise<RoleFacts | undefined> {
  const [found] = await sql<{ bypassesRowSecurity: boolean; mayBeTakenOn: boolean }[]>`
    select rolsuper or rolbypassrls as "bypassesRowSecurity",
      pg_has_role(oid, case when current_setting('server_version_num')::int < 160000 then 'MEMBER' else 'SET' end)
        as "mayBeTakenOn"
    from pg_roles where rolname = ${role}`;
  if (!found) return undefined;
  const tables = sql`pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace`;
  return {
    ...found,
    ownedTables: await names(sql`select relname as name from ${tables} and relowner = ${role}::regrole`),
    unfencedTables:
      await names(sql`select relname as name from ${tables} and has_table_privilege(${role}, oid, 'SELECT')
      and not (relrowsecurity and relforcerowsecurity)`),
    rewritableTables: await names(sql`select relname as name from ${tables} and relname = any (${[...appendOnly]})
      and has_table_privilege(${role}, oid, 'UPDATE, DELETE, TRUNCATE')`),
  };
}

async function names(query: PromiseLike<readonly { name?: string }[]>): Promise<string[]> {
  return (await query).map(({ name = "" }) => name);
}

// The way there and back is taken to be equally long; the shortest of some tries is the least wrong.
async function readClockAhead(sql: Sql): Promise<number> {
  let best = { tookMs: Number.POSITIVE_INFINITY, aheadMs: 0 };
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const before = systemClock.now();
    const [row] = await sql<{ at: number }[]>`select (extract(epoch from clock_timestamp()) * 1000)::float as at`;
    const tookMs = systemClock.now() - before;
    if (row && tookMs < best.tookMs) best = { tookMs, aheadMs: row.at - (before + tookMs / 2) };
  }
  return best.aheadMs;
}
