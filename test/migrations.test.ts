import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { migrate } from "../src/migrations/migrate.ts";
import { openPostgres, PLATFORM_SCOPE, type RowScope, type Sql, writeAs } from "../src/platform/postgres.ts";
import { createDatabase, startTestApp } from "./support/app.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: Sql;
let owner: postgres.Sql;
const [mine, other] = [crypto.randomUUID(), crypto.randomUUID()];
const integrators = { mine: crypto.randomUUID(), other: crypto.randomUUID() };

beforeAll(async () => {
  database = await createDatabase();
  await migrate(database);
  owner = postgres(database.url, { max: 1, onnotice: () => {} });
  app = openPostgres(database.url, { poolSize: 2, role: "tenantplane_app" });
  await writeAs(app, PLATFORM_SCOPE, 5_000, async (tx) => {
    const plan = crypto.randomUUID();
    await tx`insert into plan (uid, plan_id, version, revision, created_at) values (${plan}, 'basic', 1, 1, now())`;
    await tx`insert into plan_version (plan_uid, version, display_name, limits, entitlements, settings, created_at)
      values (${plan}, 1, 'Basic', '[]', '{}', '{}', now())`;
    for (const [uid, id] of [
      [mine, "mine"],
      [other, "other"],
    ] as const) {
      const integrator = integrators[id];
      await tx`insert into integrator (uid, integrator_id, display_name, revision, created_at, updated_at)
        values (${integrator}, ${id}, ${id}, 1, now(), now())`;
      await tx`insert into tenant (uid, tenant_id, display_name, state, suspensions, legal_holds, integrator_uid,
          integrator_id, plan_uid, plan_id, plan_version, labels, region, settings, time_zone, epoch, revision,
          created_at, updated_at)
        values (${uid}, ${id}, ${id}, 'ACTIVE', '[]', '[]', ${integrator}, ${id}, ${plan}, 'basic', 1, '{}', '', '{}',
          'UTC', 1, 1, now(), now())`;
      await tx`insert into transition (tenant_uid, epoch, uid, verb, to_state, reason, actor, at)
        values (${uid}, 1, ${crypto.randomUUID()}, 'create', 'CREATED', '', 'test', now())`;
      await tx`insert into tenant_user (tenant_uid, user_id, email, email_key, display_name, role, disabled, revision,
          created_at, updated_at) values (${uid}, 'u', 'u@x.org', 'u@x.org', '', 'tenant.admin', false, 1, now(), now())`;
      await tx`insert into api_key (key_id, display_name, role, scope, tenant_uid, integrator_uid, secret_hash, revision,
          created_at)
        values (${id}, 'k', 'tenant.admin', ${`tenants/${id}`}, ${uid}, ${integrator}, '', 1, now())`;
      await tx`insert into audit_entry (tenant_uid, integrator_uid, at, actor, method, resource, request_id, outcome,
          changes, reason, caller_address) values (${uid}, ${integrator}, now(), '', '', '', '', 'OK', '[]', '', '')`;
      await tx`insert into change (noun, resource, tenant_uid, integrator_uid, at)
        values ('tenant', ${id}, ${uid}, ${integrator}, now())`;
      await tx`insert into quota_override (tenant_uid, override_id, uid, limit_id, quota_limit, reason, creator, ended,
          revision, created_at, updated_at)
        values (${uid}, 'o', ${crypto.randomUUID()}, 'l', '{}', '', '', false, 1, now(), now())`;
      await tx`insert into quota_grant (tenant_uid, grant_id, uid, limit_id, amount, usable_amount, used_amount, priority,
          starts_at, ended, reason, creator, revision, created_at, updated_at)
        values (${uid}, 'g', ${crypto.randomUUID()}, 'l', 1, 1, 0, 0, now(), false, '', '', 1, now(), now())`;
      await tx`insert into quota_period (tenant_uid, limit_id, window_id, starts_at, ends_at, base_amount,
          rollover_amount, revision) values (${uid}, 'l', 'w', now(), now(), 0, 0, 1)`;
      await tx`insert into usage_event (era, tenant_uid, event_key, source, event_id, event_type, at, received_at, data, shard)
        select substring(relname from '\\d+$')::int, ${uid}, gen_random_uuid(), '', '', '', now(), now(), '{}', 0
        from pg_class where relname ~ '^usage_event_\\d+$' limit 1`;
      await tx`insert into usage_bucket (tenant_uid, meter_id, grain, start_at, group_key, sum, count, latest_at)
        values (${uid}, 'm', 'day', now(), '{}', 1, 1, now())`;
      await tx`insert into usage_unique (tenant_uid, meter_id, hour_at, group_key, value_key)
        values (${uid}, 'm', now(), '{}', gen_random_uuid())`;
      await tx`insert into usage_group (tenant_uid, meter_id, group_key) values (${uid}, 'm', '{}')`;
      await tx`insert into usage_dirty (tenant_uid, minute_at) values (${uid}, now())`;
      for (const overridable of [true, false]) {
        const flag = crypto.randomUUID();
        await tx`insert into flag (uid, flag_id, definition, description, owner, labels, tenant_overridable, flag_refs,
            segment_refs, revision, created_at, updated_at)
          values (${flag}, ${`${id}-${overridable}`}, '{}', '', '', '{}', ${overridable}, '{}', '{}', 1, now(), now())`;
        await tx`insert into flag_revision (flag_uid, revision, flag, verb, actor, reason, at)
          values (${flag}, 1, '{}', '', '', '', now())`;
        await tx`insert into flag_override (tenant_uid, flag_uid, serve, variant_refs, segment_refs, reason, writer,
            revision, created_at, updated_at)
          values (${uid}, ${flag}, '{}', '{}', '{}', '', '', 1, now(), now())`;
        await tx`insert into flag_usage (flag_uid, variant, day, count, last_at) values (${flag}, '', now(), 1, now())`;
      }
      const segment = crypto.randomUUID();
      await tx`insert into flag_segment (uid, segment_id, definition, description, included_count, excluded_count,
          segment_refs, revision, created_at, updated_at)
        values (${segment}, ${id}, '{}', '', 1, 0, '{}', 1, now(), now())`;
      await tx`insert into flag_segment_member (segment_uid, key, excluded) values (${segment}, 'k', false)`;
      await tx`insert into flag_group (uid, group_id, definition, description, revision, created_at, updated_at)
        values (${crypto.randomUUID()}, ${id}, '{}', '', 1, now(), now())`;
      await tx`insert into flag_schedule (uid, schedule_id, description, apply_at, changes, flag_refs, state, failure,
          creator, revision, created_at, updated_at)
        values (${crypto.randomUUID()}, ${id}, '', now(), '[]', '{}', 'PENDING', '', '', 1, now(), now())`;
      const endpoint = crypto.randomUUID();
      await tx`insert into webhook_endpoint (uid, endpoint_id, url, scope, tenant_uid, integrator_uid, event_types,
          description, signing, public_key, secret, revision, created_at, updated_at)
        values (${endpoint}, ${id}, 'u', ${`tenants/${id}`}, ${uid}, ${integrator}, '{}', '', 'HMAC_SHA256', '', '', 1,
          now(), now())`;
      await tx`insert into webhook_delivery (endpoint_uid, event_id, tenant_uid, integrator_uid, event_type, resource,
          payload, state, attempt_count, attempts, event_at, created_at)
        values (${endpoint}, 'e', ${uid}, ${integrator}, '', '', '', 'DELIVERED', 1, '[]', now(), now())`;
      await tx`insert into quota_holder (holder_uid, tenant_uid, epoch, opened_at) values (${uid}, ${uid}, 1, now())`;
      await tx`insert into allotment (holder_uid, field, start_mark, limit_id, window_id, mark, epoch, opened_at,
          grant_number, base, given) values (${uid}, 'l', 0, 'l', '', 0, 1, now(), 1, 0, 0)`;
      await tx`insert into admission (holder_uid, field, mark, epoch, spent, updated_at)
        values (${uid}, 'l', 0, 1, 0, now())`;
      await tx`insert into allotment_hold (owner_uid, holder_uid, field, mark, epoch, amount)
        values (${crypto.randomUUID()}, ${uid}, 'l', 0, 1, 1)`;
      await tx`insert into idempotency (actor, method, request_id, request_hash, at) values (${id}, '', '', '', now())`;
    }
  });
});
afterAll(async () => {
  await app.end();
  await owner.end();
  await database.drop();
});

const tenantScope: RowScope = { platform: false, tenants: [mine], integrators: [], actor: "mine" };
const integratorScope: RowScope = { platform: false, tenants: [], integrators: [integrators.mine], actor: "mine" };
const nobody: RowScope = { platform: false, tenants: [], integrators: [], actor: "" };

/** Every table of ours but the migrations' own, from the catalogue, so that a new one can't be forgotten. */
async function tables(): Promise<string[]> {
  const rows = await owner<{ name: string }[]>`select relname as name from pg_class
    where relkind in ('r', 'p') and not relispartition and relnamespace = 'public'::regnamespace
      and relname <> 'schema_migration' order by relname`;
  return rows.map((row) => row.name);
}

function count(scope: RowScope, table: string): Promise<number> {
  return writeAs(
    app,
    scope,
    5_000,
    async (tx) => (await tx.unsafe<{ n: number }[]>(`select count(*)::int as n from ${table}`))[0]?.n ?? -1,
  );
}

describe("row level security", () => {
  it("is forced on every table, and the server's role owns none", async () => {
    const rows =
      await owner`select relname from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace
      and relname <> 'schema_migration' and (not relrowsecurity or not relforcerowsecurity or relowner = 'tenantplane_app'::regrole)`;
    expect([...rows]).toEqual([]);
  });

  it("is not to be got around by the name of a partition", async () => {
    const partitions = await owner<
      { name: string }[]
    >`select relname as name from pg_class where relispartition and relkind = 'r'`;
    const read = (name: string) => writeAs(app, PLATFORM_SCOPE, 5_000, (tx) => tx.unsafe(`select 1 from ${name}`));
    const codes = await Promise.all(
      partitions.map(({ name }) => read(name).catch((error: { code?: string }) => error.code)),
    );
    expect(new Set(codes)).toEqual(new Set(["42501"]));
  });

  it("shows nothing of any table to a transaction without a scope, even a forgotten one", async () => {
    const names = await tables();
    const seen = await Promise.all(names.map((table) => count(nobody, table)));
    const unscoped = await Promise.all(names.map(async (table) => (await app.unsafe(`select 1 from ${table}`)).length));
    expect([...seen, ...unscoped].filter((n) => n !== 0)).toEqual([]);
    expect(names.length).toBeGreaterThan(10);
  });

  it("shows a tenant and an integrator their own rows of every table and no others", async () => {
    const counts = await Promise.all(
      (await tables()).map(async (table) => [
        table,
        [await count(tenantScope, table), await count(integratorScope, table)],
      ]),
    );
    expect(Object.fromEntries(counts)).toEqual({
      admission: [1, 1],
      allotment: [1, 1],
      allotment_epoch: [0, 0],
      allotment_hold: [1, 1],
      api_key: [1, 1],
      audit_entry: [1, 1],
      change: [1, 1],
      change_floor: [0, 0],
      // Those that tenants may override.
      flag: [2, 2],
      flag_group: [0, 0],
      flag_override: [2, 2],
      flag_revision: [0, 0],
      flag_schedule: [0, 0],
      flag_segment: [0, 0],
      flag_segment_member: [0, 0],
      flag_usage: [0, 0],
      idempotency: [1, 1],
      integrator: [0, 1],
      meter: [1, 1],
      node_secret: [0, 0],
      plan: [1, 1],
      plan_version: [1, 1],
      quota_grant: [1, 1],
      quota_holder: [0, 0],
      quota_lease: [0, 0],
      quota_node: [0, 0],
      quota_override: [1, 1],
      quota_period: [1, 1],
      reservation: [0, 0],
      seat_count: [1, 1],
      tenant: [1, 1],
      tenant_user: [1, 1],
      transition: [1, 1],
      usage_bucket: [1, 1],
      usage_cursor: [8, 8],
      usage_dirty: [0, 0],
      usage_event: [1, 1],
      usage_group: [1, 1],
      usage_unique: [1, 1],
      webhook_cursor: [0, 0],
      webhook_delivery: [1, 1],
      webhook_endpoint: [1, 1],
    });
  });

  it("lets a tenant and an integrator change, remove, take and give away no row of another, of any table", async () => {
    const owned = await owner<{ name: string; column: string }[]>`
      select relname as name, attname as "column" from pg_class join pg_attribute on attrelid = pg_class.oid
      where relkind = 'r' and relnamespace = 'public'::regnamespace
        and (attname = 'tenant_uid' or (relname = 'tenant' and attname = 'uid')) order by relname`;
    const attempt = (scope: RowScope, statement: string) =>
      writeAs(app, scope, 5_000, async (tx) => {
        const { count: rows } = await tx.unsafe(statement);
        // A write that row level security lets through must not stay.
        throw new Error(`${rows} rows`);
      }).catch((error: { code?: string; message?: string }) => error.code ?? error.message);
    const outcomes = await Promise.all(
      [tenantScope, integratorScope].flatMap((scope) =>
        owned.flatMap(({ name, column }) => [
          attempt(scope, `update ${name} set ${column} = ${column} where ${column} = '${other}'`),
          attempt(scope, `update ${name} set ${column} = '${mine}' where ${column} = '${other}'`),
          attempt(scope, `delete from ${name} where ${column} = '${other}'`),
        ]),
      ),
    );
    // Nothing was there to be written, or the database refused.
    expect(outcomes.filter((outcome) => outcome !== "0 rows" && outcome !== "42501")).toEqual([]);
    const given = await Promise.all(
      owned
        .filter(({ name }) => name !== "tenant")
        .map(({ name }) => attempt(tenantScope, `update ${name} set tenant_uid = '${other}'`)),
    );
    expect(given.filter((outcome) => outcome !== "0 rows" && outcome !== "42501")).toEqual([]);
    expect(owned.length).toBeGreaterThan(10);
  });

  it("lets a tenant write no row of another", async () => {
    const attempt = (statement: string) =>
      writeAs(app, tenantScope, 5_000, (tx) => tx.unsafe(statement)).then(
        (rows) => `${rows.count} rows`,
        (error: { code?: string }) => error.code,
      );
    const outcomes = await Promise.all([
      attempt(`update tenant set display_name = 'x' where uid = '${other}'`),
      attempt(`delete from tenant_user where tenant_uid = '${other}'`),
      attempt(`update api_key set tenant_uid = '${mine}' where tenant_uid = '${other}'`),
      attempt(
        `insert into transition select '${other}', 9, uid, verb, from_state, to_state, reason, actor, at from transition`,
      ),
      attempt(`update plan set version = 2`),
      attempt(`update flag_override set reason = 'x' where tenant_uid = '${other}'`),
      attempt(`update flag set tenant_overridable = false`),
      attempt(`update seat_count set used_amount = 0 where tenant_uid = '${other}'`),
    ]);
    expect(outcomes).toEqual(["0 rows", "0 rows", "0 rows", "42501", "0 rows", "0 rows", "0 rows", "0 rows"]);
  });

  it("lets a tenant raise nothing of its own quotas", async () => {
    const outcomes = await Promise.all(
      ["quota_override", "quota_grant", "quota_period", "meter"].map((table) =>
        writeAs(app, tenantScope, 5_000, async (tx) => (await tx.unsafe(`update ${table} set revision = 9`)).count),
      ),
    );
    expect(outcomes).toEqual([0, 0, 0, 0]);
  });
});

describe("the audit log", () => {
  it("refuses UPDATE, DELETE and TRUNCATE to the server's role and to the owner", async () => {
    const statements = ["update audit_entry set actor = 'x'", "delete from audit_entry", "truncate audit_entry"];
    const codes = await Promise.all(
      statements.flatMap((statement) => [
        writeAs(app, PLATFORM_SCOPE, 5_000, (tx) => tx.unsafe(statement)).catch(
          (error: { code?: string }) => error.code,
        ),
        owner.unsafe(statement).catch((error: { code?: string }) => error.code),
      ]),
    );
    expect(codes).toEqual(Array(6).fill("42501"));
  });
});

describe("migrations", () => {
  it("may run again and on several nodes at once, and apply nothing twice", async () => {
    const runs = await Promise.all([migrate(database), migrate(database)]);
    expect(runs).toEqual([{ applied: 0 }, { applied: 0 }]);
  });

  it("refuse a database of a newer release in one line", async () => {
    const newer = await createDatabase();
    await migrate(newer);
    const sql = postgres(newer.url, { max: 1 });
    await sql`insert into schema_migration (version, file, checksum) values (9999, '9999_future.sql', '')`;
    await sql.end();
    await expect(startTestApp(newer)).rejects.toThrow(/newer release \(9999_future.sql\)/);
    await newer.drop();
  });
});

describe("a node without Redis", () => {
  it("refuses a second one on its database in one line, and starts when the first has stopped", async () => {
    const shared = await createDatabase();
    const first = await startTestApp(shared);
    await expect(startTestApp(shared)).rejects.toThrow(
      /^Another node uses this database: stop it, or set the same REDIS_URL on all nodes\.$/,
    );
    await first.stop();
    const second = await startTestApp(shared, { adminKey: first.adminKey });
    expect((await second.admin.tenants.listTenants({})).tenants).toEqual([]);
    await second.stop();
    await shared.drop();
  });
});
