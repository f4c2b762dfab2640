import postgres from "postgres";
import { cancellable } from "./cancel.ts";
import { OperatorError } from "./operator-error.ts";

/** A pool of connections to Postgres. Instants cross it as epoch milliseconds, 64-bit integers as numbers. */
export type Sql = postgres.Sql<{ instant: number; bigint: number }>;
/** A transaction on one connection of the pool. */
export type Tx = postgres.TransactionSql<{ instant: number; bigint: number }>;
/** Anything that runs a statement. */
export type Queryable = Sql | Tx;

/** A value that jsonb holds. */
export type Json = postgres.JSONValue;

/** Opens a pool. `role` is taken on by every connection, so that nothing runs as the owner of the tables. */
export function openPostgres(url: string, options: { poolSize: number; role?: string; name?: string }): Sql {
  return postgres(url, {
    max: options.poolSize,
    connect_timeout: CONNECT_TIMEOUT_S,
    backoff: (attempt: number) => Math.min(RECONNECT_MIN_S * 2 ** attempt, RECONNECT_MAX_S),
    // Plans of prepared statements are kept by each connection; all our statements are of fixed text but the filtered lists.
    prepare: true,
    connection: {
      application_name: options.name ?? "tenantplane",
      TimeZone: "UTC",
      ...(options.role ? { role: options.role } : {}),
    },
    onnotice: () => {},
    types: {
      instant: {
        to: 1184,
        from: [1184],
        serialize: (value: number | string) => (typeof value === "number" ? new Date(value).toISOString() : value),
        parse: (value: string) => Date.parse(`${value.replace(" ", "T")}:00`),
      },
      bigint: { to: 20, from: [20], serialize: (value: number | bigint | string) => String(value), parse: Number },
    },
  }) as unknown as Sql;
}

/** Seconds until a lost connection is made anew: at once when Postgres only restarts, without a storm when it is away. */
const RECONNECT_MIN_S = 0.02;
const RECONNECT_MAX_S = 1;
/** Seconds until a connection attempt is given up: longer than a busy server needs, shorter than an operator's patience. */
const CONNECT_TIMEOUT_S = 5;

/** Tells an operator in one line why Postgres can't be used. The URL's password is never repeated. */
export function postgresProblem(error: unknown, url: string): OperatorError {
  const code = (error as { code?: string } | undefined)?.code ?? "";
  const place = URL.canParse(url) ? new URL(url).host : "DATABASE_URL";
  const why =
    {
      ECONNREFUSED: "nothing listens there",
      ENOTFOUND: "the host is unknown",
      CONNECT_TIMEOUT: "it does not answer",
      "28P01": "the password is wrong",
      "28000": "the user may not log in",
      "3D000": "the database does not exist",
      "42501": "the user may not create what is needed (it must own the database and have CREATEROLE once)",
    }[code] ??
    `it answered ${code || "an error"}: ${error instanceof Error ? error.message.split("\n")[0] : "unknown"}`;
  return new OperatorError(
    `Postgres at ${place} can't be used: ${why}. Check DATABASE_URL, or unset it for the embedded one.`,
  );
}

/** What a transaction may see and for how long it may run; row level security reads it. */
export interface RowScope {
  readonly platform: boolean;
  readonly tenants: readonly string[];
  readonly integrators: readonly string[];
  readonly actor: string;
}

/** Sees everything: migrations, jobs and the node's own readers. */
export const PLATFORM_SCOPE: RowScope = { platform: true, tenants: [], integrators: [], actor: "system" };

/** Applies a scope to the transaction and bounds its statements; with `lock` also waits for the root's turn. */
export function applyScope(tx: Tx, scope: RowScope, timeoutMs: number, lock?: string): Promise<unknown> {
  const statementMs = String(Math.max(1, Math.ceil(timeoutMs)));
  const settings = tx`select set_config('app.platform', ${scope.platform ? "on" : ""}, true),
    set_config('app.tenants', ${scope.tenants.join(",")}, true),
    set_config('app.integrators', ${scope.integrators.join(",")}, true),
    set_config('app.actor', ${scope.actor}, true),
    set_config('statement_timeout', ${statementMs}, true),
    set_config('idle_in_transaction_session_timeout', ${IDLE_IN_TRANSACTION_MS}, true)`.execute();
  // Queries are lazy: `execute` sends this one before whatever the caller asks next.
  if (lock === undefined) return settings;
  // Two statements, sent together: the timeout of the first one bounds the wait of the second.
  return Promise.all([settings, takeTurn(tx, lock)]);
}

/** Waits for a further root's turn within a transaction that holds its own: last of all, so that turns can't cross. */
export function takeTurn(tx: Tx, root: string): Promise<unknown> {
  return tx`select pg_advisory_xact_lock(${ROOT_LOCK_SPACE}, hashtext(${root}))`.execute();
}

/** Keeps others from writing under the roots until the transaction ends; several transactions may do so at once. */
export function shareTurns(tx: Tx, roots: readonly string[]): Promise<unknown> {
  return tx`select pg_advisory_xact_lock_shared(${ROOT_LOCK_SPACE}, hashtext(root)) from unnest(${[...roots]}::text[]) as root`;
}

/** A transaction that waits this long for its client holds back the change log of everybody: end it. */
const IDLE_IN_TRANSACTION_MS = "5000";
/** Tells the locks of roots from the node lock. */
const ROOT_LOCK_SPACE = 1;

/** Runs `fn` in a read-only transaction that sees what the scope allows, in one snapshot; the signal cancels it. */
export async function readAs<T>(
  sql: Sql,
  scope: RowScope,
  timeoutMs: number,
  fn: (tx: Tx) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const run = async (tx: Tx) => {
    const [, value] = await Promise.all([applyScope(tx, scope, timeoutMs), fn(tx)]);
    return value;
  };
  return (await sql.begin("isolation level repeatable read read only", async (plain) => {
    const tx = plain as unknown as Tx;
    return signal ? cancellable(tx, signal, run) : run(tx);
  })) as T;
}

/** Runs `fn` in a transaction that writes with the scope's rights. */
export async function writeAs<T>(sql: Sql, scope: RowScope, timeoutMs: number, fn: (tx: Tx) => Promise<T>): Promise<T> {
  return (await sql.begin(async (plain) => {
    const tx = plain as unknown as Tx;
    await applyScope(tx, scope, timeoutMs);
    return fn(tx);
  })) as T;
}
