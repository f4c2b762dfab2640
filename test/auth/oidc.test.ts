import { createServer, type Server } from "node:http";
import { Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { codeOf, RPCS } from "../support/rpcs.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let issuer: string;
let provider: Server;
const keys = await generateKeyPair("ES256");
const strangers = await generateKeyPair("ES256");

beforeAll(async () => {
  const jwk = { ...(await exportJWK(keys.publicKey)), kid: "one", alg: "ES256", use: "sig" };
  provider = createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    const discovery = request.url?.endsWith("/.well-known/openid-configuration");
    response.end(JSON.stringify(discovery ? { issuer, jwks_uri: `${issuer}/keys` } : { keys: [jwk] }));
  });
  await new Promise<void>((ready) => provider.listen(0, "127.0.0.1", ready));
  const address = provider.address();
  issuer = `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
  database = await createDatabase();
  app = await startTestApp(database, { settings: { OIDC_ISSUER: issuer } });
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  const tenant = { displayName: "T", plan: "plans/basic" };
  for (const tenantId of ["acme", "other"]) await app.admin.tenants.createTenant({ tenantId, tenant, activate: true });
  await app.admin.integrators.createIntegrator({ integratorId: "north", integrator: { displayName: "North" } });
  const linked = { ...tenant, integrator: "integrators/north" };
  await app.admin.tenants.createTenant({ tenantId: "linked", tenant: linked, activate: true });
  await app.admin.users.createUser({ parent: "tenants/acme", user: { email: "Ann@acme.org", role: "tenant.viewer" } });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
  provider.close();
});

function token(
  claims: JWTPayload,
  options: { audience?: string; key?: CryptoKey; expiresIn?: string } = {},
): Promise<string> {
  const { expiresIn = "5m" } = options;
  const jwt = new SignJWT(claims)
    .setProtectedHeader({ alg: "ES256", kid: "one" })
    .setIssuer(issuer)
    .setSubject("someone")
    .setAudience(options.audience ?? "tenantplane")
    .setIssuedAt();
  return (expiresIn === "" ? jwt : jwt.setExpirationTime(expiresIn)).sign(options.key ?? keys.privateKey);
}

const ann = { tenant: "acme", email: "ann@acme.org", email_verified: true };

describe("a token of the identity provider", () => {
  it("is its user with the user's role, in the user's tenant alone", async () => {
    const clients = app.clients(await token(ann));
    const { tenants } = await clients.tenants.listTenants({});
    expect(tenants.map((tenant) => tenant.name)).toEqual(["tenants/acme"]);
    expect((await refusal(clients.tenants.getTenant({ name: "tenants/other" }))).reason).toBe("PERMISSION_DENIED");
    expect((await refusal(clients.tenants.archiveTenant({ name: "tenants/acme" }))).reason).toBe("PERMISSION_DENIED");
  });

  it("has the roles of its claim, each within its scope", async () => {
    const operator = app.clients(await token({ tenantplane_roles: ["platform.operator"] }));
    const admin = app.clients(await token({ tenantplane_roles: ["tenant.admin@tenants/other"] }));
    const partner = app.clients(await token({ tenantplane_roles: ["integrator.admin@integrators/north"] }));
    expect((await operator.tenants.listTenants({})).tenants.length).toBe(3);
    expect((await partner.tenants.listTenants({})).tenants.map((tenant) => tenant.name)).toEqual(["tenants/linked"]);
    expect((await admin.tenants.listTenants({})).tenants.map((tenant) => tenant.name)).toEqual(["tenants/other"]);
  });

  it("is refused when the user is disabled, and while the tenant is not ACTIVE", async () => {
    const { users } = await app.admin.users.listUsers({ parent: "tenants/acme" });
    const [found] = users;
    const disable = (disabled: boolean) =>
      app.admin.users.updateUser({
        user: { name: found?.name ?? "", disabled },
        updateMask: { paths: ["disabled"] },
      });
    await disable(true);
    const disabled = await refusal(app.clients(await token(ann)).tenants.listTenants({}));
    await disable(false);
    await app.admin.tenants.archiveTenant({ name: "tenants/acme" });
    const gated = async () => (await refusal(app.clients(await token(ann)).tenants.listTenants({}))).reason;
    await expect.poll(gated, { timeout: 1_000 }).toBe("TENANT_NOT_ACTIVE");
    const user = app.clients(await token(ann));
    const codes = await Promise.all(RPCS.map(async (rpc) => [rpc.name, await codeOf(user, rpc)]));
    expect(codes).toEqual(RPCS.map(({ name }) => [name, "PermissionDenied"]));
    expect(disabled.reason).toBe("CREDENTIALS_INVALID");
  });

  it("keeps what it may use when one of its tenants is stopped", async () => {
    const roles = ["tenant.admin@tenants/other", "tenant.viewer@tenants/linked"];
    const both = app.clients(await token({ tenantplane_roles: roles }));
    const names = async () => (await both.tenants.listTenants({})).tenants.map(({ name }) => name);
    expect(await names()).toEqual(["tenants/linked", "tenants/other"]);
    await app.admin.tenants.suspendTenant({ name: "tenants/other", suspension: Suspension_Reason.POLICY });
    await expect.poll(names, { timeout: 1_000 }).toEqual(["tenants/linked"]);
    await app.admin.tenants.resumeTenant({ name: "tenants/other", suspension: Suspension_Reason.POLICY });
  });

  const bad: [string, () => Promise<string>][] = [
    ["signed by another key", () => token(ann, { key: strangers.privateKey })],
    ["for another audience", () => token(ann, { audience: "elsewhere" })],
    ["expired", () => token(ann, { expiresIn: "-1m" })],
    ["without any role here", () => token({})],
    ["with an unverified address", () => token({ ...ann, email_verified: false })],
    ["with a role that does not fit its scope", () => token({ tenantplane_roles: ["platform.admin@tenants/other"] })],
    [
      "with a role in an integrator that is not there",
      () => token({ tenantplane_roles: ["integrator.admin@integrators/x"] }),
    ],
    ["that never expires", () => token(ann, { expiresIn: "" })],
    ["that is no token", async () => "a.b.c"],
  ];
  for (const [what, make] of bad) {
    it(`${what} is refused`, async () => {
      expect(await refusal(app.clients(await make()).tenants.listTenants({}))).toEqual({
        code: "Unauthenticated",
        reason: "CREDENTIALS_INVALID",
        fields: [],
      });
    });
  }
});

describe("an identity provider that can't be asked", () => {
  it.each([
    ["is away", "http://127.0.0.1:1", ""],
    ["names another issuer in its document", "", "/realm"],
  ])("which %s is a fault of ours that passes, not of the token", async (_, away, path) => {
    const settings = { OIDC_ISSUER: away || `${issuer}${path}`, REDIS_URL: "" };
    const own = await createDatabase();
    const other = await startTestApp(own, { settings });
    const refused = await refusal(other.clients(await token(ann)).tenants.listTenants({}));
    await other.stop();
    await own.drop();
    expect(refused).toEqual({ code: "Unavailable", reason: "ISSUER_UNAVAILABLE", fields: [] });
  });
});
