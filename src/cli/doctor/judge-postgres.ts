import type { OpenTransaction, PostgresFacts, RoleFacts } from "../../platform/postgres-facts.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

/** The oldest release of Postgres that is still maintained. */
const VERSION_MIN = 14;
/** No call of ours takes so long, and the change log stands still meanwhile. */
const TRANSACTION_WARN_S = 10;
/** Watchers and caches are out of date by now: somebody has forgotten a session. */
const TRANSACTION_FAIL_S = 300;
/** Records and expiries of several nodes are compared: a second is seen by people. */
const CLOCK_WARN_MS = 1_000;
/** Keys and tokens are taken for expired, or for valid. */
const CLOCK_FAIL_MS = 30_000;

/** What the facts of a database mean for a node. */
export function judgePostgres(
  facts: PostgresFacts,
  { place, poolSize, role }: { place: string; poolSize: number; role: string },
): Finding[] {
  return [
    judgeServer(facts, place),
    judgeRights(facts, role),
    ...(facts.role ? [judgeRole(facts.role, role)] : []),
    judgeTransactions(facts),
    judgeConnections(facts, poolSize),
    judgeClock(facts.clockAheadMs),
  ];
}

function judgeServer(facts: PostgresFacts, place: string): Finding {
  const { version, versionNumber, encoding, user } = facts;
  const found = `version ${version.split(" ")[0]} at ${place}, as ${user}`;
  if (Math.floor(versionNumber / 10_000) < VERSION_MIN) {
    return fail("postgres", found, `use Postgres ${VERSION_MIN} or newer`);
  }
  if (facts.isReplica) return fail("postgres", `${found}: a replica`, "point DATABASE_URL at the primary");
  if (facts.isReadOnly) {
    return fail("postgres", `${found}: read-only`, "turn default_transaction_read_only off for this user");
  }
  if (encoding !== "UTF8") {
    return fail("postgres", `${found}: encoded as ${encoding}`, "create the database with encoding 'UTF8'");
  }
  return ok("postgres", found);
}

function judgeRights(facts: PostgresFacts, role: string): Finding {
  const { user, foreignTables } = facts;
  if (!facts.role && !facts.mayCreateRoles) {
    const advice = `let an administrator run: create role ${role} nologin; grant ${role} to "${user}"`;
    return fail("privileges", `there is no role ${role} yet, and ${user} may not create it`, advice);
  }
  if (facts.role && !facts.role.mayBeTakenOn) {
    const advice = `let an administrator run: grant ${role} to "${user}"`;
    return fail("privileges", `${user} may not take on the role ${role}`, advice);
  }
  if (!facts.mayCreateTables) {
    const advice = `let an administrator run: grant create on schema public to "${user}"`;
    return fail("privileges", `${user} may not create tables`, advice);
  }
  if (foreignTables.length > 0) {
    const advice = `make ${user} their owner, or use the user that migrated the database`;
    return fail("privileges", `${user} does not own ${foreignTables.join(", ")}`, advice);
  }
  return ok("privileges", `${user} may migrate, and serve as ${role}`);
}

function judgeRole({ bypassesRowSecurity, ...facts }: RoleFacts, role: string): Finding {
  const fence = "row level security";
  if (bypassesRowSecurity) return fail(fence, `${role} bypasses it`, `alter role ${role} nosuperuser nobypassrls`);
  if (facts.ownedTables.length > 0) {
    return fail(fence, `${role} owns ${facts.ownedTables.join(", ")}`, "make the user that migrates their owner");
  }
  if (facts.unfencedTables.length > 0) {
    const advice = "alter table … enable row level security; alter table … force row level security";
    return fail(fence, `not forced on ${facts.unfencedTables.join(", ")}`, advice);
  }
  if (facts.rewritableTables.length > 0) {
    const advice = `revoke update, delete, truncate on ${facts.rewritableTables.join(", ")} from ${role}`;
    return fail(fence, `${role} may rewrite ${facts.rewritableTables.join(", ")}`, advice);
  }
  return ok(fence, `forced on all that ${role} reads; the audit log is append-only`);
}

function judgeTransactions({ transactions, preparedTransactions, seesAllSessions }: PostgresFacts): Finding {
  const check = "transactions";
  if (preparedTransactions > 0) {
    const advice = "commit or roll back what pg_prepared_xacts lists";
    return warn(check, `${preparedTransactions} prepared transactions hold up the change log`, advice);
  }
  const [oldest] = transactions.toSorted((a, b) => b.seconds - a.seconds);
  if (oldest && oldest.seconds > TRANSACTION_WARN_S) {
    const judge = oldest.seconds > TRANSACTION_FAIL_S ? fail : warn;
    return judge(check, describe(oldest), `end it: select pg_terminate_backend(${oldest.pid})`);
  }
  const unseen = seesAllSessions ? "" : " (of this user's sessions: to see all, grant pg_monitor)";
  return ok(check, `none holds up the change log${unseen}`);
}

function describe({ pid, application, database, state, seconds }: OpenTransaction): string {
  const who = [application && `"${application}"`, database && `on ${database}`, state].filter(Boolean).join(", ");
  return `process ${pid} (${who}) has held up the change log for ${Math.floor(seconds)} s`;
}

function judgeConnections({ connections, connectionsMax }: PostgresFacts, poolSize: number): Finding {
  const found = `${connections} of ${connectionsMax} in use`;
  if (connections + poolSize <= connectionsMax) return ok("connections", found);
  return warn(
    "connections",
    `${found}; a node takes ${poolSize}`,
    "lower DATABASE_POOL_SIZE, or raise max_connections",
  );
}

function judgeClock(aheadMs: number): Finding {
  const apartMs = Math.round(Math.abs(aheadMs));
  const found = `Postgres' clock is ${apartMs} ms ${aheadMs < 0 ? "behind" : "ahead of"} ours`;
  if (apartMs <= CLOCK_WARN_MS) return ok("clock", found);
  return (apartMs > CLOCK_FAIL_MS ? fail : warn)("clock", found, "let both machines keep time by NTP");
}
