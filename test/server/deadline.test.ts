import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { createGrpcTransport as createSdkTransport } from "@tenantplane/sdk";
import { TenantService } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let owner: postgres.Sql;
const name = "tenants/locked";
const settings = { DEADLINE_DEFAULT_MS: "5000", DEADLINE_MAX_MS: "6000" };

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database, { settings });
  owner = postgres(database.url, { max: 2, onnotice: () => {} });
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  await app.admin.tenants.createTenant({ tenantId: "locked", tenant: { displayName: "T", plan: "plans/basic" } });
});
afterAll(async () => {
  await owner.end();
  await app.stop();
  await database.drop();
});

/** Calls that wait for the tenant's turn, as the database sees them. */
async function waiting(): Promise<number> {
  const [row] = await owner`select count(*)::int as n from pg_stat_activity
    where datname = current_database() and wait_event = 'advisory' and state = 'active'`;
  return row?.n ?? -1;
}

/** Runs `fn` while another transaction has the tenant's turn; all writes to it wait. */
async function whileLocked<T>(fn: () => Promise<T>): Promise<T> {
  const connection = await owner.reserve();
  try {
    await connection`begin`;
    await connection`select pg_advisory_xact_lock(1, hashtext(${name}))`;
    return await fn();
  } finally {
    await connection`rollback`;
    connection.release();
  }
}

function clientOver(transport: Transport) {
  const headers = { authorization: `Bearer ${app.adminKey}` };
  const client = createClient(TenantService, transport);
  return (displayName: string, options: { timeoutMs?: number; signal?: AbortSignal }) =>
    client.updateTenant({ tenant: { name, displayName } }, { headers, ...options });
}

const transports: [string, () => Transport][] = [
  ["gRPC", () => createGrpcTransport({ baseUrl: `http://127.0.0.1:${app.grpcPort}` })],
  ["Connect", () => createConnectTransport({ baseUrl: `http://127.0.0.1:${app.httpPort}`, httpVersion: "1.1" })],
];

describe.each(transports)("over %s", (_, make) => {
  it("a deadline ends the statement in the database, and nothing is written", async () => {
    const write = clientOver(make());
    const refused = await whileLocked(async () => {
      const call = await refusal(write("late", { timeoutMs: 300 }));
      await expect.poll(waiting, { timeout: 1_000 }).toBe(0);
      return call;
    });
    expect(refused.code).toBe("DeadlineExceeded");
    expect((await app.admin.tenants.getTenant({ name })).tenant?.displayName).toBe("T");
  });

  it("a caller that leaves ends the statement in the database, and nothing is written", async () => {
    const write = clientOver(make());
    const caller = new AbortController();
    await whileLocked(async () => {
      const call = refusal(write("gone", { signal: caller.signal }));
      await expect.poll(waiting).toBe(1);
      caller.abort();
      await call;
      // Far below the deadline, which would end it too.
      await expect.poll(waiting, { timeout: 1_000 }).toBe(0);
    });
    expect((await app.admin.tenants.getTenant({ name })).tenant?.displayName).toBe("T");
  });
});

describe("without a client's word", () => {
  it("a call has the default deadline, and no more than the longest", async () => {
    const short = await createDatabase();
    const other = await startTestApp(short, {
      settings: { DEADLINE_DEFAULT_MS: "300", DEADLINE_MAX_MS: "500" },
    });
    const sql = postgres(short.url, { max: 1, onnotice: () => {} });
    await sql`begin`;
    await sql`select pg_advisory_xact_lock(1, hashtext('plans/slow'))`;
    const took = async (timeoutMs?: number) => {
      const startedAt = performance.now();
      const call = other.admin.plans.createPlan(
        { planId: "slow", plan: { displayName: "S" } },
        timeoutMs ? { timeoutMs } : {},
      );
      const { reason } = await refusal(call);
      return [reason, Math.floor((performance.now() - startedAt) / 100) * 100];
    };
    const [unset, long] = [await took(), await took(30_000)];
    await sql`rollback`;
    await sql.end();
    await other.stop();
    await short.drop();
    expect([unset[0], long[0]]).toEqual(["DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"]);
    expect(unset[1]).toBeLessThan(500);
    expect(long[1]).toBeGreaterThanOrEqual(400);
    expect(long[1]).toBeLessThan(3_000);
  });
});

describe("a request that can't be read", () => {
  it("is the caller's fault, and says so with ErrorInfo", async () => {
    const client = new grpc.Client(`127.0.0.1:${app.grpcPort}`, grpc.credentials.createInsecure());
    const metadata = new grpc.Metadata();
    metadata.set("authorization", `Bearer ${app.adminKey}`);
    const same = (bytes: Buffer) => bytes;
    const error = await new Promise<grpc.ServiceError | null>((done) =>
      client.makeUnaryRequest(
        "/tenantplane.v1.TenantService/GetTenant",
        same,
        same,
        Buffer.from([0x0a, 0xff]),
        metadata,
        done,
      ),
    );
    client.close();
    expect([error?.code, error?.metadata.get("grpc-status-details-bin").toString()]).toEqual([
      grpc.status.INVALID_ARGUMENT,
      expect.stringContaining("MESSAGE_MALFORMED"),
    ]);
  });

  it("larger than the bound is refused as such on every protocol", async () => {
    const displayName = "x".repeat(5 * 1024 * 1024);
    const transport = createSdkTransport({ address: `http://127.0.0.1:${app.grpcPort}`, apiKey: app.adminKey });
    const codes = [];
    for (const over of [transport, ...transports.map(([, make]) => make())]) {
      codes.push((await refusal(clientOver(over)(displayName, {}))).code);
    }
    transport.close();
    expect(codes).toEqual(["ResourceExhausted", "ResourceExhausted", "ResourceExhausted"]);
  });
});
