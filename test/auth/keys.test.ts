import { Code, ConnectError } from "@connectrpc/connect";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, createFakeClock, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";

const clock = createFakeClock(Date.UTC(2026, 0, 1));
let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database, { clock });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const timestamp = (ms: number) => ({ seconds: BigInt(ms / 1_000), nanos: 0 });

async function create(more: object = {}, by: TestApp = app) {
  const apiKey = { displayName: "k", role: "service", scope: "platform", ...more };
  const { secret, apiKey: made } = await by.admin.access.createApiKey({ apiKey });
  return { secret, name: made?.name ?? "" };
}

/** What a call with the secret ends with. */
function use(secret: string): Promise<string> {
  return app
    .clients(secret)
    .plans.listPlans({ pageSize: 1 })
    .then(
      () => "ok",
      (error: unknown) => Code[ConnectError.from(error).code],
    );
}

describe("an API key", () => {
  it("has a form that scanners know, and only a hash of its secret is kept", async () => {
    const { secret, name } = await create();
    expect(secret).toMatch(/^tpk_[0-9a-f]{16}_[0-9a-f]{64}$/);
    const sql = postgres(database.url, { max: 1 });
    const [row] = await sql`select octet_length(secret_hash) as bytes, t::text as text from api_key t
      where key_id = ${name.slice("apiKeys/".length)}`;
    await sql.end();
    expect([row?.bytes, row?.text.includes(secret.slice(-64))]).toEqual([32, false]);
  });

  it("works until its time is over, and not a millisecond longer", async () => {
    const { secret } = await create({ expireTime: timestamp(clock.now() + 60_000) });
    const outcomes = [await use(secret)];
    clock.advance(59_999);
    outcomes.push(await use(secret));
    clock.advance(1);
    outcomes.push(await use(secret));
    expect(outcomes).toEqual(["ok", "ok", "Unauthenticated"]);
  });

  it("has two secrets from a rotation until the overlap is over", async () => {
    const { secret, name } = await create();
    const { secret: next, apiKey } = await app.admin.access.rotateApiKey({ name, overlap: timestamp(60_000) });
    expect(Number(apiKey?.previousExpireTime?.seconds)).toBe(clock.now() / 1_000 + 60);
    expect([await use(secret), await use(next)]).toEqual(["ok", "ok"]);
    clock.advance(60_000);
    expect([await use(secret), await use(next)]).toEqual(["Unauthenticated", "ok"]);
    // Of three secrets only the newest two are live.
    const { secret: third } = await app.admin.access.rotateApiKey({ name, overlap: timestamp(60_000) });
    await app.admin.access.rotateApiKey({ name, overlap: timestamp(60_000) });
    await expect.poll(() => use(next), { timeout: 1_000 }).toBe("Unauthenticated");
    expect(await use(third)).toBe("ok");
  });

  it("tells when it was last used, also when the node was stopped right after", async () => {
    const { secret, name } = await create();
    const lastUsed = async (by: TestApp) => (await by.admin.access.getApiKey({ name })).apiKey?.lastUsedTime?.seconds;
    expect(await lastUsed(app)).toBeUndefined();
    await use(secret);
    await app.tick();
    expect(await lastUsed(app)).toBe(BigInt(clock.now() / 1_000));
    clock.advance(5_000);
    await use(secret);
    await app.stop();
    app = await startTestApp(database, { clock, adminKey: app.adminKey });
    expect(await lastUsed(app)).toBe(BigInt(clock.now() / 1_000));
  });

  it("is listed without its secret, and once revoked only when asked for", async () => {
    const { name } = await create({ displayName: "to be revoked" });
    await app.admin.access.revokeApiKey({ name });
    const names = async (showRevoked: boolean) =>
      (await app.admin.access.listApiKeys({ pageSize: 1_000, showRevoked })).apiKeys.map((key) => key.name);
    expect([(await names(false)).includes(name), (await names(true)).includes(name)]).toEqual([false, true]);
    expect((await refusal(app.admin.access.rotateApiKey({ name }))).reason).toBe("RESOURCE_NOT_FOUND");
    expect((await refusal(app.admin.access.revokeApiKey({ name }))).reason).toBe("RESOURCE_NOT_FOUND");
  });

  it.each([
    ["whose time is over already", { expireTime: timestamp(1_000) }, ["api_key.expire_time"]],
    ["of a role that there is not", { role: "emperor" }, ["api_key.role"]],
    ["of a role for another scope", { role: "tenant.admin" }, ["api_key.role"]],
    ["without a name for people", { displayName: "" }, ["api_key.display_name"]],
    ["for a scope of no form", { role: "tenant.admin", scope: "tenants/" }, ["api_key.scope"]],
  ])("%s is refused with its field", async (_, more, fields) => {
    const refused = await refusal(create(more));
    expect(refused).toEqual({ code: "InvalidArgument", reason: "INVALID_FIELDS", fields });
  });

  it.each(["tpk_", "tpk_0000000000000000_zz", `tpk_${"0".repeat(16)}_${"0".repeat(64)}`, "", "x".repeat(4_000)])(
    "that is none (%.40s) is refused without a word of why",
    async (secret) => {
      expect(await use(secret)).toBe("Unauthenticated");
    },
  );
});
