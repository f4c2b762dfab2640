import { create, type DescMethod, type Message } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Level } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "./support/app.ts";
import { refusal } from "./support/errors.ts";
import { callRpc, RPCS, type RpcOf, requestWith } from "./support/rpcs.ts";
import { COUNTS, OTHERWISE_SAFE, SECRET, WRITES } from "./support/writes.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let owner: postgres.Sql;
let made = 0;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  owner = postgres(database.url, { max: 1, onnotice: () => {} });
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
});
afterAll(async () => {
  await owner.end();
  await app.stop();
  await database.drop();
});

const writing = RPCS.filter(
  ({ method, name }) => method.idempotency !== Level.NO_SIDE_EFFECTS && !Object.hasOwn(OTHERWISE_SAFE, name),
);

/** Tables that live on by themselves: what a write has set going goes on in the background, and nodes say that they live. */
const RESTLESS = new Set([
  "quota_node",
  "usage_bucket",
  "usage_cursor",
  "usage_dirty",
  "webhook_cursor",
  "webhook_delivery",
]);

/** Everything that the database holds, as one value to compare; of endpoints not how they have answered lately. */
async function contents(): Promise<Record<string, string>> {
  const tables = await owner<{ name: string }[]>`select relname as name from pg_class
    where relkind = 'r' and relnamespace = 'public'::regnamespace`;
  const rows = tables
    .filter(({ name }) => !RESTLESS.has(name))
    .map(async ({ name }) => {
      const text = "(to_jsonb(t) - 'last_success_at' - 'failing_since_at')::text";
      const [row] = await owner.unsafe(`select md5(string_agg(${text}, '|' order by ${text})) as sum from ${name} t`);
      return [name, String(row?.sum)] as const;
    });
  return Object.fromEntries(await Promise.all(rows));
}

async function prepare({ name }: RpcOf) {
  made += 1;
  const write = WRITES[name];
  if (!write) throw new Error(`${name} has no request to try: add one in test/support/writes.ts`);
  return write(app.admin, made);
}

const send = (rpc: RpcOf, request: object, more: object = {}, headers: Record<string, string> = {}) =>
  callRpc(app.admin, rpc, { ...request, ...more }, { headers });

/** How many entries of the audit log a call left. */
async function entriesOf(callId: string): Promise<number> {
  const { entries } = await app.admin.audit.listAuditEntries({ filter: `request_id = "${callId}" AND outcome = OK` });
  return entries.length;
}

/** The request with an etag that is not the resource's, where the RPC takes one. */
function withStaleEtag(method: DescMethod, request: object): object | undefined {
  const stale = '"00000000-1"';
  if (method.input.fields.some(({ name }) => name === "etag")) return { ...request, etag: stale };
  const [first] = method.input.fields;
  if (!method.name.startsWith("Update") || !first?.message) return undefined;
  const resource = (request as Record<string, object>)[first.localName];
  return { ...request, [first.localName]: { ...resource, etag: stale } };
}

const secrets: string[] = [];

/** The secrets of an answer: what its field `secret` holds, without the parts that are no secret. */
function secretsIn(answer: unknown): string[] {
  const { secret } = answer as { secret?: string };
  return secret ? [secret.slice(-32)] : [];
}

describe("the walk over writing RPCs", () => {
  it("knows each of them and no others", () => {
    expect(Object.keys(WRITES).sort()).toEqual(writing.map(({ name }) => name).sort());
  });
});

describe.each(writing.map((rpc) => [rpc.name, rpc] as const))("%s", (name, rpc) => {
  it("tries everything and writes nothing under validate_only", async () => {
    const { request } = await prepare(rpc);
    const before = await contents();
    const tried = (await send(rpc, request, { validateOnly: true, requestId: crypto.randomUUID() })) as Message;
    expect([tried.$typeName, await contents()]).toEqual([rpc.method.output.typeName, before]);
    expect(JSON.stringify(tried, (_, value) => (typeof value === "bigint" ? String(value) : value))).not.toContain(
      "tpk_",
    );
  });

  it("answers a retry with the first answer, and refuses its id for anything else", async () => {
    const { request, other } = await prepare(rpc);
    const requestId = crypto.randomUUID();
    const first = await send(rpc, request, { requestId }, { "x-request-id": `walk-${requestId}` });
    secrets.push(...secretsIn(first));
    const after = await contents();
    const retries = [requestId, requestId.toUpperCase()].map((id) => send(rpc, request, { requestId: id }));
    if (SECRET.has(name)) {
      const refusals = await Promise.all(retries.map(refusal));
      expect(refusals.map(({ reason }) => reason)).toEqual(["RESOURCE_EXISTS", "RESOURCE_EXISTS"]);
    } else expect(await Promise.all(retries)).toEqual([first, first]);
    const reused = await refusal(send(rpc, other, { requestId }));
    expect(reused).toEqual({ code: "InvalidArgument", reason: "REQUEST_ID_REUSED", fields: [] });
    const malformed = await refusal(send(rpc, request, { requestId: "again" }));
    expect(malformed).toEqual({ code: "InvalidArgument", reason: "INVALID_FIELDS", fields: ["request_id"] });
    expect(await contents()).toEqual(after);
    expect((await entriesOf(`walk-${requestId}`)) > 0).toBe(!COUNTS.has(name));
  });

  it("is done once by retries that race each other", async () => {
    const { request } = await prepare(rpc);
    const requestId = crypto.randomUUID();
    const calls = ["a", "b", "c", "d"].map((letter) => `${letter}-${requestId}`);
    const outcomes = await Promise.all(
      calls.map((callId) =>
        send(rpc, request, { requestId }, { "x-request-id": callId }).then(
          () => "done",
          (error: unknown) => refusal(Promise.reject(ConnectError.from(error))).then(({ reason }) => reason),
        ),
      ),
    );
    const entries = await Promise.all(calls.map(entriesOf));
    expect(entries.filter((count) => count > 0)).toHaveLength(COUNTS.has(name) ? 0 : 1);
    expect(outcomes).toContain("done");
    // One that lost the race is told to come again; a secret is not told twice.
    const allowed = new Set(["done", "REQUEST_IN_PROGRESS", ...(SECRET.has(name) ? ["RESOURCE_EXISTS"] : [])]);
    expect(outcomes.filter((outcome) => !allowed.has(outcome))).toEqual([]);
  });

  const stale = withStaleEtag(rpc.method, {});
  it.runIf(stale)("is refused with ABORTED when its etag is not the resource's, and writes nothing", async () => {
    const { request } = await prepare(rpc);
    const before = await contents();
    const refused = await refusal(send(rpc, withStaleEtag(rpc.method, request) ?? {}));
    expect([refused.code, refused.reason, await contents()]).toEqual(["Aborted", "ETAG_MISMATCH", before]);
  });

  const missing = rpc.method.input.fields.some((field) => field.name === "allow_missing");
  it.runIf(missing)("succeeds for what is not there with allow_missing, and only then", async () => {
    const { request } = await prepare(rpc);
    const nowhere = (request as { name: string }).name.replace(/[^/]+$/, "nothing");
    const before = await contents();
    const named = create(rpc.method.input, requestWith(rpc.method, "name", nowhere) as never);
    await callRpc(app.admin, rpc, Object.assign(named, { allowMissing: true }));
    const refused = await refusal(callRpc(app.admin, rpc, requestWith(rpc.method, "name", nowhere)));
    expect([refused.reason, await contents()]).toEqual(["RESOURCE_NOT_FOUND", before]);
  });
});

describe("what the walk was told once", () => {
  it("is kept nowhere: not in the audit log, the change log, the kept answers or the table itself", async () => {
    const tables = await owner<{ name: string }[]>`select relname as name from pg_class
      where relkind = 'r' and relnamespace = 'public'::regnamespace`;
    const found = await Promise.all(
      secrets.flatMap((secret) =>
        tables.map(async ({ name }) => {
          const [row] = await owner.unsafe(
            `select count(*)::int as n from ${name} t where position($1 in t::text) > 0`,
            [secret],
          );
          return row?.n === 0 ? [] : [name];
        }),
      ),
    );
    expect(found.flat()).toEqual([]);
    expect(secrets.length).toBeGreaterThan(1);
  });
});
