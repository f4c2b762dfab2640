import { ConnectError } from "@connectrpc/connect";
import { QuotaFailureSchema } from "@tenantplane/sdk/gen/google/rpc/error_details_pb";
import { Limit_Mode } from "@tenantplane/sdk/gen/tenantplane/v1/limit_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openPostgres, PLATFORM_SCOPE, readAs, type Sql, writeAs } from "../../src/platform/postgres.ts";
import { takeSeat } from "../../src/quota/seat-service.ts";
import { requireTenant } from "../../src/tenant/service.ts";
import { type Clients, createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { until } from "../support/until.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let sql: Sql;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  sql = openPostgres(database.url, { poolSize: 2, role: "tenantplane_app" });
  const plan = (planId: string, limits: { meter: string; amount: bigint; mode?: Limit_Mode; overageCap?: bigint }[]) =>
    app.admin.plans.createPlan({ planId, plan: { displayName: planId, limits } });
  await plan("three", [{ meter: "seats", amount: 3n }]);
  await plan("ten", [{ meter: "seats", amount: 10n }]);
  await plan("soft", [{ meter: "seats", amount: 1n, mode: Limit_Mode.SOFT }]);
  await plan("overage", [{ meter: "seats", amount: 1n, mode: Limit_Mode.OVERAGE, overageCap: 1n }]);
  await plan("open", []);
});
afterAll(async () => {
  await sql.end();
  await app.stop();
  await database.drop();
});

async function createTenant(tenantId: string, plan: string, more: { integrator?: string; adminEmail?: string } = {}) {
  const { integrator = "", adminEmail = "" } = more;
  const tenant = { displayName: tenantId, plan: `plans/${plan}`, integrator };
  await app.admin.tenants.createTenant({ tenantId, tenant, activate: true, adminEmail });
}

function addUser(tenantId: string, local: string, by: Clients = app.admin, disabled = false) {
  const user = { email: `${local}@x.org`, role: "tenant.viewer", disabled };
  return by.users.createUser({ parent: `tenants/${tenantId}`, user });
}

/** How many of the calls succeeded, and why the others did not. */
async function tally(calls: Promise<unknown>[]) {
  const settled = await Promise.allSettled(calls);
  const refused = await Promise.all(
    calls.filter((_, i) => settled[i]?.status === "rejected").map(async (call) => (await refusal(call)).reason),
  );
  return { added: settled.length - refused.length, refused: [...new Set(refused)] };
}

/** The seats on record beside the users that there are. */
function seats(tenantId: string) {
  return readAs(sql, PLATFORM_SCOPE, 5_000, async (tx) => {
    const [row] = await tx<{ counted: number; there: number }[]>`
      select coalesce((select used_amount from seat_count where tenant_uid = t.uid), 0) as counted,
        (select count(*) from tenant_user where tenant_uid = t.uid and not disabled) as there
      from tenant t where t.tenant_id = ${tenantId}`;
    return [Number(row?.counted), Number(row?.there)];
  });
}

/** Writes that wait for another one's turn. */
function waiting() {
  return sql`select 1 from pg_locks join pg_database d on d.oid = database
    where datname = current_database() and locktype = 'advisory' and not granted`;
}

describe("seats", () => {
  it("are taken by users, given back by their end, and refused when all are taken, with the limit by name", async () => {
    await createTenant("small", "three", { adminEmail: "admin@x.org" });
    const { user } = await addUser("small", "one");
    await addUser("small", "two");
    const refused = await addUser("small", "three").catch((error: unknown) => ConnectError.from(error));
    const [failure] = (refused as ConnectError).findDetails(QuotaFailureSchema);
    await app.admin.users.deleteUser({ name: user?.name ?? "" });
    await addUser("small", "three");
    expect(await refusal(addUser("small", "four"))).toEqual({
      code: "ResourceExhausted",
      reason: "SEAT_LIMIT_REACHED",
      fields: [],
    });
    expect(failure?.violations).toMatchObject([
      { subject: "tenants/small", quotaMetric: "seats", quotaId: "seats", quotaValue: 3n },
    ]);
    expect(await seats("small")).toEqual([3, 3]);
  });

  it("are not taken by disabled users, until they are enabled", async () => {
    await createTenant("disabling", "three");
    const names: string[] = [];
    for (const local of ["a", "b", "c", "d"]) {
      const { user } = await addUser("disabling", local, app.admin, local === "d");
      names.push(user?.name ?? "");
    }
    const set = (index: number, disabled: boolean) =>
      app.admin.users.updateUser({ user: { name: names[index] ?? "", disabled }, updateMask: { paths: ["disabled"] } });
    expect((await refusal(set(3, false))).reason).toBe("SEAT_LIMIT_REACHED");
    await set(0, true);
    await set(0, true);
    await set(3, false);
    expect((await refusal(set(0, false))).reason).toBe("SEAT_LIMIT_REACHED");
    expect(await seats("disabling")).toEqual([3, 3]);
  });

  it("stay within the limit however many are asked for at once", async () => {
    await createTenant("crowded", "ten");
    const calls = Array.from({ length: 40 }, (_, i) => addUser("crowded", `u${i}`));
    expect(await tally(calls)).toEqual({ added: 10, refused: ["SEAT_LIMIT_REACHED"] });
    expect(await seats("crowded")).toEqual([10, 10]);
  });

  it("of all tenants of an integrator together stay within its own limit, at once and for a tenant's own admin", async () => {
    await app.admin.integrators.createIntegrator({
      integratorId: "tight",
      integrator: { displayName: "Tight", limits: [{ meter: "seats", amount: 12n }] },
    });
    const ids = ["tight-a", "tight-b", "tight-c", "tight-d"];
    for (const id of ids) await createTenant(id, "ten", { integrator: "integrators/tight" });
    const keys = await Promise.all(
      ids.map(async (id) => {
        const apiKey = { displayName: "k", role: "tenant.admin", scope: `tenants/${id}` };
        return app.clients((await app.admin.access.createApiKey({ apiKey })).secret);
      }),
    );
    const calls = Array.from({ length: 32 }, (_, i) => addUser(ids[i % 4] ?? "", `u${i}`, keys[i % 4]));
    const counted = await tally(calls);
    const all = await Promise.all(ids.map(seats));
    expect(counted).toEqual({ added: 12, refused: ["SEAT_LIMIT_REACHED"] });
    expect(all.reduce((sum, [taken = 0]) => sum + taken, 0)).toBe(12);
    const first = createTenant("tight-e", "ten", { integrator: "integrators/tight", adminEmail: "a@x.org" });
    expect((await refusal(first)).reason).toBe("SEAT_LIMIT_REACHED");
    expect((await refusal(app.admin.tenants.getTenant({ name: "tenants/tight-e" }))).reason).toBe("RESOURCE_NOT_FOUND");
  });

  it("of an integrator are not given twice to writes that are under way together", async () => {
    const limits = [{ meter: "seats", amount: 1n }];
    await app.admin.integrators.createIntegrator({ integratorId: "last", integrator: { displayName: "Last", limits } });
    for (const id of ["last-a", "last-b"]) await createTenant(id, "ten", { integrator: "integrators/last" });
    const [taken, done] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const first = writeAs(sql, PLATFORM_SCOPE, 10_000, async (tx) => {
      const tenant = await requireTenant(tx, "last-a");
      await takeSeat({ tx, now: Date.now() }, tenant);
      await tx`insert into tenant_user (tenant_uid, user_id, email, email_key, display_name, role, disabled, revision,
          created_at, updated_at)
        values (${tenant.uid}, 'u', 'u@x.org', 'u@x.org', '', 'tenant.viewer', false, 1, now(), now())`;
      taken.resolve();
      await done.promise;
    });
    await taken.promise;
    const second = refusal(addUser("last-b", "b"));
    await until(async () => (await waiting()).length > 0);
    done.resolve();
    await first;
    expect((await second).reason).toBe("SEAT_LIMIT_REACHED");
  });

  it("beyond a lowered limit are kept, and none is added", async () => {
    await createTenant("shrinking", "ten");
    for (let i = 0; i < 5; i += 1) await addUser("shrinking", `u${i}`);
    const tenant = { name: "tenants/shrinking", plan: "plans/three" };
    await app.admin.tenants.updateTenant({ tenant, updateMask: { paths: ["plan"] } });
    const refused = await refusal(addUser("shrinking", "more"));
    const { users } = await app.admin.users.listUsers({ parent: "tenants/shrinking" });
    expect([refused.reason, users.length]).toEqual(["SEAT_LIMIT_REACHED", 5]);
  });

  it("go beyond a limit as far as its mode lets them", async () => {
    for (const id of ["soft", "overage", "open"]) await createTenant(`mode-${id}`, id);
    const add = (id: string) => tally(Array.from({ length: 4 }, (_, i) => addUser(`mode-${id}`, `u${i}`)));
    expect([await add("soft"), await add("overage"), await add("open")]).toEqual([
      { added: 4, refused: [] },
      { added: 2, refused: ["SEAT_LIMIT_REACHED"] },
      { added: 4, refused: [] },
    ]);
  });

  it("are not taken by a dry run, a refused user or a retry", async () => {
    await createTenant("careful", "three");
    const parent = "tenants/careful";
    const user = { email: "a@x.org", role: "tenant.viewer" };
    const requestId = crypto.randomUUID();
    await app.admin.users.createUser({ parent, user, validateOnly: true });
    await app.admin.users.createUser({ parent, user, requestId });
    await app.admin.users.createUser({ parent, user, requestId });
    expect((await refusal(app.admin.users.createUser({ parent, user }))).reason).toBe("RESOURCE_EXISTS");
    expect(await seats("careful")).toEqual([1, 1]);
  });

  it("come back to the integrator when a tenant is purged", async () => {
    await app.admin.integrators.createIntegrator({
      integratorId: "single",
      integrator: { displayName: "Single", limits: [{ meter: "seats", amount: 1n }] },
    });
    const integrator = "integrators/single";
    await createTenant("single-a", "ten", { integrator, adminEmail: "a@x.org" });
    await createTenant("single-b", "ten", { integrator });
    const before = await refusal(addUser("single-b", "b"));
    await app.admin.tenants.deleteTenant({ name: "tenants/single-a", retention: { seconds: 0n } });
    await app.tick();
    await addUser("single-b", "b");
    expect([before.reason, await seats("single-b")]).toEqual(["SEAT_LIMIT_REACHED", [1, 1]]);
  });
});
