import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { Flag_Kind as Kind } from "@tenantplane/sdk/gen/tenantplane/v1/flag_definition_pb";
import { Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Service as ServiceV1 } from "../../src/compat/gen/flagd/evaluation/v1/evaluation_pb.ts";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { BOOLEAN_FLAG, serving } from "../support/flags.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let acme: string;
let service: string;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  await app.admin.plans.createPlan({ planId: "pro", plan: { displayName: "Pro" } });
  for (const tenantId of ["acme", "blue"]) {
    const tenant = { displayName: "T", plan: "plans/pro" };
    await app.admin.tenants.createTenant({ tenantId, tenant, activate: true });
  }
  acme = await keyOf("client", "tenants/acme");
  service = await keyOf("service", "platform");
  const clientVisible = true;
  const split = [
    { variant: "on", weight: 1 },
    { variant: "off", weight: 1 },
  ];
  const half = { serve: { case: "split" as const, value: { parts: split } } };
  const number = { kind: Kind.NUMBER, variants: { big: 1e300, half: 2.5 }, defaultServe: serving("half") };
  for (const [flagId, flag] of Object.entries({
    plain: {
      ...BOOLEAN_FLAG,
      clientVisible,
      metadata: { owner: "me" },
    },
    half: { ...BOOLEAN_FLAG, clientVisible, defaultServe: half },
    number: { ...number, clientVisible },
    big: { ...number, clientVisible, defaultServe: serving("big") },
    hidden: BOOLEAN_FLAG,
  })) {
    await app.admin.flags.createFlag({ flagId, flag: flag as never });
  }
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

async function keyOf(role: string, scope: string): Promise<string> {
  return (await app.admin.access.createApiKey({ apiKey: { displayName: "k", role, scope } })).secret;
}

async function call(
  path: string,
  body: unknown = { context: { targetingKey: "u1" } },
  headers: Record<string, string> = {},
) {
  const answer = await fetch(`http://127.0.0.1:${app.httpPort}${path}`, {
    method: "POST",
    headers: { "x-api-key": acme, ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await answer.text();
  return { status: answer.status, json: text === "" ? undefined : JSON.parse(text), etag: answer.headers.get("etag") };
}

const ONE = "/ofrep/v1/evaluate/flags/plain";
const ALL = "/ofrep/v1/evaluate/flags";
const nested = (depth: number) => `{"context":${'{"a":'.repeat(depth)}1${"}".repeat(depth)}}`;

describe("OFREP", () => {
  it("answers one flag, with the reason and whose it is", async () => {
    expect(await call(ONE)).toMatchObject({
      status: 200,
      json: { key: "plain", value: false, variant: "off", reason: "STATIC", metadata: { owner: "me", scope: "acme" } },
    });
    expect((await call(ONE, "")).status).toBe(200);
    expect((await call(ONE, {})).status).toBe(200);
  });

  it("answers all flags for clients, each with its value or its error, and no others", async () => {
    const { status, json } = await call(`${ALL}/`, { context: {} });
    expect([status, json.metadata]).toEqual([200, { scope: "acme" }]);
    expect(json.flags.map((flag: { key: string }) => flag.key)).toEqual(["big", "half", "number", "plain"]);
    expect(json.flags[1]).toMatchObject({ key: "half", errorCode: "TARGETING_KEY_MISSING" });
  });

  it.each([
    ["a flag that is not there", `${ALL}/nothing`, {}, 404, "FLAG_NOT_FOUND"],
    ["a flag that is not for the caller", `${ALL}/hidden`, {}, 404, "FLAG_NOT_FOUND"],
    ["a name of every object", `${ALL}/constructor`, {}, 404, "FLAG_NOT_FOUND"],
    ["nothing to bucket by", `${ALL}/half`, {}, 400, "TARGETING_KEY_MISSING"],
    ["no JSON", ONE, "{", 400, "INVALID_CONTEXT"],
    ["a list", ONE, "[]", 400, "INVALID_CONTEXT"],
    ["a context that is a list", ONE, { context: [] }, 400, "INVALID_CONTEXT"],
    ["a context of depth 1,000", ONE, nested(1_000), 400, "INVALID_CONTEXT"],
    ["a context of depth 100,000", ALL, nested(100_000), 400, "INVALID_CONTEXT"],
    ["10 MB", ONE, `"${"x".repeat(10_000_000)}"`, 400, "INVALID_CONTEXT"],
    ["10 MB for all", ALL, `"${"x".repeat(10_000_000)}"`, 400, "INVALID_CONTEXT"],
  ])("refuses %s in the form that clients read", async (_, path, body, status, errorCode) => {
    const answer = await call(path, body);
    expect([answer.status, answer.json.errorCode]).toEqual([status, errorCode]);
    if (path !== ALL) expect(answer.json.key).toBe(path.split("/").at(-1));
  });

  it("takes a context of depth 50, and one with names of every object", async () => {
    expect((await call(ALL, nested(50))).status).toBe(200);
    expect((await call(ONE, '{"context":{"__proto__":{"a":1},"constructor":1}}')).status).toBe(200);
  });

  it.each([
    ["no key", { "x-api-key": "" }, 401],
    ["a made-up key", { "x-api-key": `tpk_${"0".repeat(16)}_${"0".repeat(64)}` }, 401],
    ["another tenant", { "x-tenantplane-tenant": "blue" }, 403],
    ["another tenant by the selector", { "flagd-selector": "flagSetId=blue" }, 403],
  ])("refuses %s", async (_, headers, status) => {
    for (const path of [ONE, ALL]) expect((await call(path, {}, headers)).status).toBe(status);
  });

  it("lets a service ask for the tenant that it names, and for none that is not there", async () => {
    const as = (tenant: string) => call(ONE, {}, { "x-api-key": service, "x-tenantplane-tenant": tenant });
    expect((await as("blue")).json.metadata.scope).toBe("blue");
    expect([(await as("nobody")).status, (await as("nobody")).json.errorCode]).toEqual([400, "GENERAL"]);
    expect((await call(ONE, {}, { "x-api-key": service })).status).toBe(400);
  });

  it("tags its answer by the context in any order of names, the tenant, the caller and the flags", async () => {
    const tag = async (context: object, headers = {}) => (await call(ALL, { context }, headers)).etag;
    const first = await tag({ targetingKey: "u1", plan: "a", more: { x: 1, y: 2 } });
    expect(await tag({ more: { y: 2, x: 1 }, plan: "a", targetingKey: "u1" })).toBe(first);
    const others = [
      await tag({ targetingKey: "u1", plan: "b", more: { x: 1, y: 2 } }),
      await tag({ targetingKey: "u1", plan: "a", more: { x: 1, y: "2" } }),
      await tag(
        { targetingKey: "u1", plan: "a", more: { x: 1, y: 2 } },
        { "x-api-key": await keyOf("client", "tenants/acme") },
      ),
    ];
    const { revision } = await app.admin.flags.updateFlag({
      flag: { name: "flags/plain", defaultServe: serving("on") },
    });
    await app.admin.flags.evaluateFlag({ tenant: "tenants/acme", flag: "flags/plain", minRevision: revision });
    others.push(await tag({ targetingKey: "u1", plan: "a", more: { x: 1, y: 2 } }));
    expect(new Set([first, ...others]).size).toBe(5);
    const again = await call(ALL, { context: { targetingKey: "u1" } });
    for (const header of [again.etag ?? "", `W/${again.etag}`, `"x", ${again.etag}`]) {
      expect(await call(ALL, undefined, { "if-none-match": header })).toMatchObject({ status: 304, json: undefined });
    }
    expect((await call(ALL, undefined, { "if-none-match": first ?? "" })).status).toBe(200);
  });
});

describe("the stream of OFREP", () => {
  const open = (path: string, headers = {}) => fetch(`http://127.0.0.1:${app.httpPort}${path}`, { headers });
  const addressOf = async (headers = {}) => (await call(ALL, {}, headers)).json.eventStreams[0].endpoint.requestUri;

  it("has the same address every time, without the key, that is good for nothing else", async () => {
    const address = await addressOf();
    expect(await addressOf()).toBe(address);
    expect(address).not.toContain(acme.split("_")[2]);
    const token = new URL(address, "http://a").searchParams.get("token") ?? "";
    expect((await call(ALL, {}, { "x-api-key": token })).status).toBe(401);
  });

  it("refuses tokens that are not its own", async () => {
    const address = await addressOf();
    for (const wrong of [
      `${address}x`,
      address.replace(".acme.", ".blue."),
      "/ofrep/v1/events?token=",
      "/ofrep/v1/events",
    ]) {
      expect([wrong, (await open(wrong)).status]).toEqual([wrong, 401]);
    }
  });

  it("makes those ask anew who missed something, and ends with its tenant", async () => {
    const address = await addressOf();
    const first = await open(address);
    const reader = first.body?.pipeThrough(new TextDecoderStream()).getReader();
    const { value = "" } = (await reader?.read()) ?? {};
    const [, id = ""] = /^id: (\S+)\nevent: message\ndata: \{"type":"refetchEvaluation"\}\n\n$/.exec(value) ?? [];
    expect(id).not.toBe("");
    const second = await open(address, { "last-event-id": id });
    const other = second.body?.pipeThrough(new TextDecoderStream()).getReader();
    expect((await other?.read())?.value).toBe(": nothing new\n\n");
    await app.admin.tenants.suspendTenant({ name: "tenants/acme", suspension: Suspension_Reason.POLICY });
    const readAll = async () => {
      for (let next = await other?.read(); !next?.done; next = await other?.read());
    };
    await expect(readAll()).rejects.toThrow();
    expect((await open(address)).status).toBe(403);
    expect((await call(ONE)).status).toBe(403);
    await app.admin.tenants.resumeTenant({ name: "tenants/acme", suspension: Suspension_Reason.POLICY });
    await expect.poll(async () => (await call(ONE)).status).toBe(200);
    await reader?.cancel();
  });
});

describe("the manifest", () => {
  it("lists all flags with their types and defaults, to the platform alone", async () => {
    const get = (key: string) =>
      fetch(`http://127.0.0.1:${app.httpPort}/openfeature/v0/manifest`, {
        headers: { authorization: `Bearer ${key}` },
      });
    const answer = await get(app.adminKey);
    const { flags } = (await answer.json()) as { flags: { key: string }[] };
    expect(answer.headers.get("x-manifest-capabilities")).toBe("read");
    expect(flags.find(({ key }) => key === "plain")).toEqual({ key: "plain", type: "boolean", defaultValue: false });
    const refused = await get(acme);
    expect([refused.status, await refused.json()]).toMatchObject([403, { error: { status: 403 } }]);
  });
});

describe("flagd's evaluation, version 1", () => {
  const over = (headers: Record<string, string>, http = false) => {
    const baseUrl = `http://127.0.0.1:${http ? app.httpPort : app.grpcPort}`;
    const transport = http ? createConnectTransport({ baseUrl, httpVersion: "1.1" }) : createGrpcTransport({ baseUrl });
    const client = createClient(ServiceV1, transport);
    return { client, options: { headers } };
  };
  const codeOf = (answer: Promise<unknown>) =>
    answer.then(
      () => "ok",
      (error: unknown) => Code[ConnectError.from(error).code],
    );

  it.each([
    ["gRPC", false],
    ["Connect", true],
  ])("answers with its codes, over %s", async (_, http) => {
    const { client, options } = over({ "x-api-key": acme }, http);
    expect((await client.resolveInt({ flagKey: "number" }, options)).value).toBe(2n);
    const context = { targetingKey: "u1" };
    expect(await codeOf(client.resolveInt({ flagKey: "big", context }, options))).toBe("InvalidArgument");
    expect(await codeOf(client.resolveString({ flagKey: "plain", context }, options))).toBe("InvalidArgument");
    expect(await codeOf(client.resolveBoolean({ flagKey: "nothing", context }, options))).toBe("NotFound");
    expect(await codeOf(client.resolveBoolean({ flagKey: "half" }, options))).toBe("FailedPrecondition");
    const deep = JSON.parse(nested(1_000)).context;
    expect(await codeOf(client.resolveBoolean({ flagKey: "half", context: deep }, options))).not.toBe("ok");
    const large = { text: "x".repeat(10_000_000) };
    expect(await codeOf(client.resolveBoolean({ flagKey: "half", context: large }, options))).toBe("ResourceExhausted");
  });

  it("tells nobody in particular that it is there, and of no flag", async () => {
    const { client, options } = over({});
    const leaving = new AbortController();
    const events = client.eventStream({}, { ...options, signal: leaving.signal })[Symbol.asyncIterator]();
    expect((await events.next()).value.type).toBe("provider_ready");
    let told = false;
    const next = events.next().then(
      () => (told = true),
      () => {},
    );
    const known = over({ "x-api-key": acme });
    const other = known.client.eventStream({}, known.options)[Symbol.asyncIterator]();
    await other.next();
    const change = other.next();
    await app.admin.flags.updateFlag({
      flag: { name: "flags/plain", description: "new", defaultServe: serving("off") },
    });
    expect((await change).value).toMatchObject({
      type: "configuration_change",
      data: { flags: { plain: { type: "update" } } },
    });
    leaving.abort();
    await next;
    expect(told).toBe(false);
    await other.return?.();
    expect(await codeOf(client.resolveBoolean({ flagKey: "plain" }))).toBe("Unauthenticated");
  });

  it("tells of flags that come and go, and of none that is hidden", async () => {
    const { client, options } = over({ "x-api-key": acme });
    const events = client.eventStream({}, options)[Symbol.asyncIterator]();
    await events.next();
    const hears = async (write: Promise<unknown>) => {
      const next = events.next();
      await write;
      return ((await next).value.data as { flags: object }).flags;
    };
    const name = "flags/coming";
    expect(
      await hears(app.admin.flags.createFlag({ flagId: "coming", flag: { ...BOOLEAN_FLAG, clientVisible: true } })),
    ).toEqual({
      coming: { type: "write" },
    });
    expect(
      await hears(
        app.admin.flags.updateFlag({ flag: { name, clientVisible: false }, updateMask: { paths: ["client_visible"] } }),
      ),
    ).toEqual({
      coming: { type: "delete" },
    });
    expect(await hears(app.admin.flags.deleteFlag({ name }))).toEqual({});
    await events.return?.();
  });
});
