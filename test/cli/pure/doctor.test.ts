import { describe, expect, it } from "vitest";
import type { Finding } from "../../../src/cli/doctor/finding.ts";
import { judgePostgres } from "../../../src/cli/doctor/judge-postgres.ts";
import { judgeReadiness } from "../../../src/cli/doctor/listener-checks.ts";
import { checkNode } from "../../../src/cli/doctor/local-checks.ts";
import { judgeRedis } from "../../../src/cli/doctor/redis-checks.ts";
import type { PostgresFacts, RoleFacts } from "../../../src/platform/postgres-facts.ts";

const ROLE: RoleFacts = {
  bypassesRowSecurity: false,
  mayBeTakenOn: true,
  ownedTables: [],
  unfencedTables: [],
  rewritableTables: [],
};
const FACTS: PostgresFacts = {
  version: "18.4 (Debian 18.4-1)",
  versionNumber: 180_004,
  isReplica: false,
  isReadOnly: false,
  encoding: "UTF8",
  user: "ann",
  mayCreateRoles: false,
  mayCreateTables: true,
  role: ROLE,
  foreignTables: [],
  transactions: [],
  preparedTransactions: 0,
  seesAllSessions: true,
  connections: 12,
  connectionsMax: 100,
  clockAheadMs: -3,
};

const judge = (facts: Partial<PostgresFacts>) =>
  judgePostgres({ ...FACTS, ...facts }, { place: "db:5432", poolSize: 10, role: "app" });

function worst(findings: readonly Finding[]): string {
  const [found] = findings.filter(({ status }) => status !== "ok");
  return found ? `${found.status} ${found.check}: ${found.detail} -> ${found.advice}` : "ok";
}

const transaction = (seconds: number) => ({ pid: 7, application: "psql", database: "shop", state: "idle", seconds });

describe("the doctor", () => {
  it("finds nothing wrong with a sound database", () => {
    expect(judge({}).map(({ check, status, detail }) => `${status} ${check}: ${detail}`)).toEqual([
      "ok postgres: version 18.4 at db:5432, as ann",
      "ok privileges: ann may migrate, and serve as app",
      "ok row level security: forced on all that app reads; the audit log is append-only",
      "ok transactions: none holds up the change log",
      "ok connections: 12 of 100 in use",
      "ok clock: Postgres' clock is 3 ms behind ours",
    ]);
  });

  it("tells each thing that is wrong with a database, and what to do", () => {
    const cases: [Partial<PostgresFacts>, RegExp][] = [
      [{ versionNumber: 130_020, version: "13.20" }, /^fail postgres: version 13.20 .* -> use Postgres 14 or newer$/],
      [{ isReplica: true }, /^fail postgres: .* a replica -> point DATABASE_URL at the primary$/],
      [{ isReadOnly: true }, /^fail postgres: .* read-only -> turn default_transaction_read_only off/],
      [
        { encoding: "SQL_ASCII" },
        /^fail postgres: .* encoded as SQL_ASCII -> create the database with encoding 'UTF8'$/,
      ],
      [
        { role: undefined },
        /^fail privileges: there is no role app yet, .* -> .* create role app nologin; grant app to "ann"$/,
      ],
      [{ role: undefined, mayCreateRoles: true }, /^ok$/],
      [{ role: { ...ROLE, mayBeTakenOn: false } }, /^fail privileges: ann may not take on .* run: grant app to "ann"$/],
      [{ mayCreateTables: false }, /^fail privileges: ann may not create tables -> .* grant create on schema public/],
      [{ foreignTables: ["tenant"] }, /^fail privileges: ann does not own tenant -> make ann their owner/],
      [{ role: { ...ROLE, bypassesRowSecurity: true } }, /^fail row level security: app bypasses it -> alter role app/],
      [{ role: { ...ROLE, ownedTables: ["plan"] } }, /^fail row level security: app owns plan -> /],
      [{ role: { ...ROLE, unfencedTables: ["plan"] } }, /^fail row level security: not forced on plan -> alter table/],
      [
        { role: { ...ROLE, rewritableTables: ["audit_entry"] } },
        /^fail row level security: app may rewrite audit_entry -> revoke/,
      ],
      [{ transactions: [transaction(9)] }, /^ok$/],
      [
        { transactions: [transaction(3), transaction(42)] },
        /^warn transactions: process 7 \("psql", on shop, idle\) .* 42 s -> end it: select pg_terminate_backend\(7\)$/,
      ],
      [{ transactions: [transaction(301)] }, /^fail transactions: /],
      [{ preparedTransactions: 2 }, /^warn transactions: 2 prepared transactions .* -> commit or roll back/],
      [{ connections: 95 }, /^warn connections: 95 of 100 in use; a node takes 10 -> lower DATABASE_POOL_SIZE/],
      [{ clockAheadMs: 1_500 }, /^warn clock: Postgres' clock is 1500 ms ahead of ours -> let both machines/],
      [{ clockAheadMs: -40_000 }, /^fail clock: /],
    ];
    for (const [facts, expected] of cases) expect(worst(judge(facts))).toMatch(expected);
  });

  it("judges Redis by version, role and eviction", () => {
    const info = { redis_version: "7.0.15", role: "master", maxmemory: "0", maxmemory_policy: "noeviction" };
    const of = (fields: Record<string, string>) =>
      worst([judgeRedis(new Map(Object.entries({ ...info, ...fields })), "r:1")]);
    expect(of({})).toBe("ok");
    expect(of({ valkey_version: "8.1.0" })).toBe("ok");
    expect(of({ redis_version: "6.0.16" })).toMatch(/^fail redis: version 6.0.16 at r:1 -> use Redis 6.2 or newer/);
    expect(of({ role: "slave" })).toMatch(/^fail redis: .* a replica -> point REDIS_URL at the primary$/);
    expect(of({ loading: "1" })).toMatch(/^warn redis: .* still loads/);
    expect(of({ maxmemory_policy: "allkeys-lru" })).toMatch(/^warn redis: .* maxmemory-policy is allkeys-lru -> /);
    expect(of({ maxmemory_policy: "allkeys-lru", maxmemory: "1000" })).toMatch(/^fail redis: /);
  });

  it("judges a node by what it tells of itself", () => {
    const page = "[+] postgres\n[i] jobs: 0 waiting\nready\n";
    expect([judgeReadiness(200, page).status, judgeReadiness(200, page).detail]).toEqual([
      "ok",
      "the node takes calls; jobs: 0 waiting",
    ]);
    expect(judgeReadiness(200, page.replace("[i] jobs: 0 waiting", "[!] jobs: can't be reached")).status).toBe("warn");
    expect(judgeReadiness(503, "[-] postgres\n[-] draining\nnot ready\n").detail).toBe(
      "the node takes no calls: postgres, draining",
    );
    expect(judgeReadiness(undefined, "").detail).toBe("the node takes no calls: no answer");
  });

  it("judges Node by what the package needs", () => {
    expect([checkNode("26.10.0", ">=26").status, checkNode("20.20.2", ">=26").status]).toEqual(["ok", "fail"]);
  });
});
