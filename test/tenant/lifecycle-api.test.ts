import { Suspension_Reason, Tenant_State } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ALLOWED, TENANT_STATES, TENANT_VERBS, type TenantState, type TenantVerb } from "../../src/tenant/lifecycle.ts";
import { type Clients, createDatabase, createFakeClock, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { until } from "../support/until.ts";

function stateName(state: number | undefined): string | undefined {
  return Object.entries(Tenant_State).find(([, value]) => value === state)?.[0];
}

const DAY_MS = 86_400_000;
const clock = createFakeClock(Date.UTC(2026, 0, 31));
let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let n = 0;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database, { clock });
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

async function call(clients: Clients, verb: TenantVerb, name: string) {
  const { tenants } = clients;
  switch (verb) {
    case "activate":
      return tenants.activateTenant({ name });
    case "suspend":
      return tenants.suspendTenant({ name, suspension: Suspension_Reason.BILLING });
    case "resume":
      return tenants.resumeTenant({ name, suspension: Suspension_Reason.BILLING });
    case "archive":
      return tenants.archiveTenant({ name });
    case "unarchive":
      return tenants.unarchiveTenant({ name });
    case "delete":
      return tenants.deleteTenant({ name });
    case "undelete":
      return tenants.undeleteTenant({ name });
    default:
      return verb satisfies never;
  }
}

const WAY: Record<TenantState, readonly TenantVerb[]> = {
  CREATED: [],
  ACTIVE: ["activate"],
  SUSPENDED: ["activate", "suspend"],
  ARCHIVED: ["activate", "archive"],
  DELETED: ["activate", "delete"],
};

async function tenantIn(state: TenantState): Promise<string> {
  n += 1;
  const tenant = { displayName: "T", plan: "plans/basic" };
  const created = await app.admin.tenants.createTenant({ tenantId: `life-${n}`, tenant });
  const name = created.tenant?.name ?? "";
  for (const verb of WAY[state]) await call(app.admin, verb, name);
  return name;
}

const AFTER: Partial<Record<`${TenantState} ${TenantVerb}`, TenantState>> = {
  "CREATED activate": "ACTIVE",
  "CREATED delete": "DELETED",
  "ACTIVE suspend": "SUSPENDED",
  "ACTIVE archive": "ARCHIVED",
  "ACTIVE delete": "DELETED",
  "SUSPENDED suspend": "SUSPENDED",
  "SUSPENDED resume": "ACTIVE",
  "SUSPENDED archive": "ARCHIVED",
  "SUSPENDED delete": "DELETED",
  "ARCHIVED unarchive": "ACTIVE",
  "ARCHIVED delete": "DELETED",
  "DELETED undelete": "ACTIVE",
};

describe("every state and verb, through the API", () => {
  for (const state of TENANT_STATES) {
    for (const verb of TENANT_VERBS) {
      const after = AFTER[`${state} ${verb}`];
      it(`${state} ${verb}: ${after ?? "refused, and nothing changed"}`, async () => {
        const name = await tenantIn(state);
        const before = (await app.admin.tenants.getTenant({ name })).tenant;
        const answer = call(app.admin, verb, name);
        const outcome = after ? stateName((await answer).tenant?.state) : await refusal(answer);
        const found = (await app.admin.tenants.getTenant({ name })).tenant;
        expect({ outcome, state: stateName(found?.state), epoch: found?.epoch }).toEqual({
          outcome: after ?? { code: "FailedPrecondition", reason: "ILLEGAL_TRANSITION", fields: [] },
          state: after ?? state,
          epoch: (before?.epoch ?? 0n) + (after ? 1n : 0n),
        });
        expect(ALLOWED[state].includes(verb)).toBe(after !== undefined);
      });
    }
  }
});

describe("suspensions, undelete and purge", () => {
  it("stacks reasons: the tenant is active again when the last one is lifted", async () => {
    const name = await tenantIn("SUSPENDED");
    const { tenants } = app.admin;
    await tenants.suspendTenant({ name, suspension: Suspension_Reason.SECURITY });
    const first = await tenants.resumeTenant({ name, suspension: Suspension_Reason.BILLING });
    const twice = await refusal(tenants.resumeTenant({ name, suspension: Suspension_Reason.BILLING }));
    const last = await tenants.resumeTenant({ name, suspension: Suspension_Reason.SECURITY });
    expect([first.tenant?.state, twice.reason, last.tenant?.state]).toEqual([
      Tenant_State.SUSPENDED,
      "ILLEGAL_TRANSITION",
      Tenant_State.ACTIVE,
    ]);
  });

  it("returns to the state before, through archive and delete together", async () => {
    const name = await tenantIn("SUSPENDED");
    for (const verb of ["archive", "delete"] as const) await call(app.admin, verb, name);
    const undeleted = await call(app.admin, "undelete", name);
    const unarchived = await call(app.admin, "unarchive", name);
    expect([undeleted.tenant?.state, unarchived.tenant?.state]).toEqual([
      Tenant_State.ARCHIVED,
      Tenant_State.SUSPENDED,
    ]);
    expect(unarchived.tenant?.suspensions.map((s) => s.reason)).toEqual([Suspension_Reason.BILLING]);
  });

  it("purges at purge_time and not a millisecond before, and a legal hold stops it", async () => {
    const { tenants } = app.admin;
    const name = await tenantIn("ACTIVE");
    const retention = { seconds: BigInt(DAY_MS / 1_000), nanos: 0 };
    await tenants.deleteTenant({ name, retention });
    await tenants.placeLegalHold({ name, holdId: "case-1", reason: "court" });
    clock.advance(DAY_MS - 1);
    await app.tick();
    const early = (await tenants.getTenant({ name })).tenant?.state;
    clock.advance(1);
    await app.tick();
    const held = (await tenants.getTenant({ name })).tenant?.state;
    await tenants.releaseLegalHold({ name, holdId: "case-1" });
    await app.tick();
    expect([early, held, (await refusal(tenants.getTenant({ name }))).reason]).toEqual([
      Tenant_State.DELETED,
      Tenant_State.DELETED,
      "RESOURCE_NOT_FOUND",
    ]);
  });

  it("purges nothing that is held in the moment between its choice and its turn", async () => {
    const { tenants } = app.admin;
    const name = await tenantIn("ACTIVE");
    await tenants.deleteTenant({ name, retention: { seconds: 0n, nanos: 0 } });
    const sql = postgres(database.url, { max: 2, onnotice: () => {} });
    const purge = Promise.withResolvers<void>();
    await sql.begin(async (tx) => {
      // The tenant's turn: whoever would write it waits.
      await tx`select pg_advisory_xact_lock(1, hashtext(${name}))`;
      app.tick().then(purge.resolve, purge.reject);
      await until(async () => {
        const [row] = await sql`select count(*)::int as n from pg_locks
          where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())`;
        return Number(row?.n) > 0;
      });
      await tx`update tenant set legal_holds = '[{"holdId":"case","reason":"","actor":"","placedAt":0}]'
        where tenant_id = ${name.slice("tenants/".length)}`;
    });
    await purge.promise;
    await sql.end();
    expect((await tenants.getTenant({ name })).tenant?.state).toBe(Tenant_State.DELETED);
    await tenants.releaseLegalHold({ name, holdId: "case" });
  });

  it("keeps the history of transitions, newest first", async () => {
    const name = await tenantIn("SUSPENDED");
    const { transitions } = await app.admin.tenants.listTransitions({ parent: name });
    expect(transitions.map((t) => [t.verb, stateName(t.fromState), stateName(t.toState), Number(t.epoch)])).toEqual([
      ["suspend", "ACTIVE", "SUSPENDED", 3],
      ["activate", "CREATED", "ACTIVE", 2],
      ["create", "UNSPECIFIED", "CREATED", 1],
    ]);
  });
});
