import { ConnectError } from "@connectrpc/connect";
import { AccessRule_Target as Target } from "@tenantplane/sdk/gen/tenantplane/v1/options_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROLES, type Role } from "../../src/auth/permission.ts";
import { accessRule } from "../../src/server/access.ts";
import { type Clients, createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { callRpc, codeOf, RPCS, type RpcOf, requestWith } from "../support/rpcs.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  for (const integratorId of ["north", "south"]) {
    await app.admin.integrators.createIntegrator({ integratorId, integrator: { displayName: integratorId } });
    const tenant = { displayName: "T", plan: "plans/basic", integrator: `integrators/${integratorId}` };
    await app.admin.tenants.createTenant({ tenantId: `${integratorId}-one`, tenant, activate: true });
  }
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const SCOPES = { platform: "platform", integrator: "integrators/north", tenant: "tenants/north-one" } as const;

async function keyOf(role: Role, scope: string = SCOPES[ROLES[role].scope]): Promise<Clients> {
  const { secret } = await app.admin.access.createApiKey({ apiKey: { displayName: "k", role, scope } });
  return app.clients(secret);
}

/** A request that names a resource where the RPC's access rule looks for one; what would be written is only tried. */
function requestFor({ method }: RpcOf, names: { tenant: string; integrator: string }): object {
  const { target, field } = accessRule(method);
  const dry = { validateOnly: true };
  if (target === Target.TENANT) return Object.assign(requestWith(method, field, names.tenant), dry);
  return target === Target.INTEGRATOR ? Object.assign(requestWith(method, field, names.integrator), dry) : dry;
}

const OWN = { tenant: "tenants/north-one", integrator: "integrators/north" };

describe("every RPC there is, to each role", () => {
  for (const role of Object.keys(ROLES) as Role[]) {
    it(`lets ${role} in where the table of roles says so, and nowhere else`, async () => {
      const clients = await keyOf(role);
      const permissions: ReadonlySet<string> = ROLES[role].permissions;
      const scope = ROLES[role].scope;
      const found = await Promise.all(RPCS.map((rpc) => codeOf(clients, rpc, requestFor(rpc, OWN))));
      const wrong = RPCS.flatMap((rpc, index) => {
        const { permission, target } = accessRule(rpc.method);
        const reaches = scope === "platform" || target === Target.CALLER || target === TARGETS[scope];
        // An integrator reaches the tenants that it administers.
        const through = scope === "integrator" && target === Target.TENANT;
        const expected = (permission === "" || permissions.has(permission)) && (reaches || through);
        const entered = found[index] !== "PermissionDenied";
        return entered === expected ? [] : [`${rpc.name}: ${found[index]}`];
      });
      expect(wrong).toEqual([]);
      expect(found).not.toContain("Internal");
    });
  }
});

const TARGETS = { platform: Target.PLATFORM, integrator: Target.INTEGRATOR, tenant: Target.TENANT };

describe("every RPC that names a tenant or an integrator", () => {
  const naming = RPCS.filter(({ method }) => accessRule(method).field !== "");
  const refused = async (clients: Clients, rpc: RpcOf, names: typeof OWN) => {
    const error = await callRpc(clients, rpc, requestFor(rpc, names)).then(
      () => undefined,
      (thrown: unknown) => ConnectError.from(thrown),
    );
    return error?.rawMessage.replaceAll(names.tenant, "{name}").replaceAll(names.integrator, "{name}") ?? "answered";
  };
  const there = { tenant: "tenants/south-one", integrator: "integrators/south" };
  const nowhere = { tenant: "tenants/nothing-here", integrator: "integrators/nothing-here" };

  for (const role of ["integrator.admin", "tenant.admin"] as const) {
    it(`tells ${role} of another's the same as of one that is not there`, async () => {
      const clients = await keyOf(role);
      const answers = await Promise.all(
        naming.map(async (rpc) => [rpc.name, await refused(clients, rpc, there), await refused(clients, rpc, nowhere)]),
      );
      const leaks = answers.filter(([, a, b]) => a !== b || !/^permission .* is needed on \{name\}$/.test(a ?? ""));
      expect(leaks).toEqual([]);
      expect(answers.length).toBeGreaterThanOrEqual(20);
    });
  }
});

describe("a key of another's scope", () => {
  it("is not found, as one that does not exist", async () => {
    const { apiKey } = await app.admin.access.createApiKey({
      apiKey: { displayName: "k", role: "tenant.viewer", scope: "tenants/south-one" },
    });
    const own = await keyOf("integrator.admin");
    const rpcs = RPCS.filter(({ name }) => /\.(Get|Rotate|Revoke)ApiKey$/.test(name));
    const codes = await Promise.all(
      rpcs.flatMap((rpc) => [
        codeOf(own, rpc, { name: apiKey?.name ?? "" }),
        codeOf(own, rpc, { name: "apiKeys/0000000000000000" }),
      ]),
    );
    expect(codes).toEqual(Array(6).fill("NotFound"));
    // Nothing happened to it.
    expect(await codeOf(app.admin, rpcs[2] as RpcOf, { name: apiKey?.name ?? "" })).toBe("ok");
  });
});
