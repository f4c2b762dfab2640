import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import {
  type GetTenantRequestSchema,
  TenantService,
  type UpdateTenantRequestSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase } from "../support/app.ts";
import { freePort, type NodeProcess, startNode } from "../support/node-process.ts";
import { testRedisUrl } from "../support/redis.ts";

const redisUrl = testRedisUrl();
if (redisUrl === undefined) console.warn("No Redis: the rolling restart is skipped.");

describe.skipIf(redisUrl === undefined)("two nodes that are restarted one after the other", () => {
  let folder: string;
  let database: Awaited<ReturnType<typeof createDatabase>>;
  let nodes: NodeProcess[];
  let key: string;
  let ports: { GRPC_PORT: string; HTTP_PORT: string }[];
  const start = (index: number) =>
    startNode({
      ...(ports[index] as { GRPC_PORT: string; HTTP_PORT: string }),
      DATABASE_URL: database.url,
      REDIS_URL: redisUrl ?? "",
      DATA_FOLDER: folder,
      DRAIN_DELAY_MS: "500",
    });

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "tenantplane-rolling-"));
    database = await createDatabase();
    ports = await Promise.all(
      [0, 1].map(async () => ({ GRPC_PORT: String(await freePort()), HTTP_PORT: String(await freePort()) })),
    );
    nodes = [await start(0), await start(1)];
    for (const node of nodes) await node.ready;
    key = readFileSync(join(folder, "admin-key"), "utf8").trim();
  });
  afterAll(async () => {
    for (const node of nodes) node.process.kill("SIGKILL");
    await Promise.all(nodes.map(({ ended }) => ended));
    rmSync(folder, { recursive: true, force: true });
    await database.drop();
  });

  it("lose no call: of a gRPC client that knows both, and of a balancer that asks /readyz", async () => {
    await json(Number(ports[0]?.HTTP_PORT), "PlanService/CreatePlan", { planId: "basic", plan: { displayName: "B" } });
    const tenant = { displayName: "T", plan: "plans/basic" };
    await json(Number(ports[0]?.HTTP_PORT), "TenantService/CreateTenant", { tenantId: "rolling", tenant });
    const over = new AbortController();
    const failures: string[] = [];
    const calls = { grpc: 0, http: 0 };
    const load = [...grpcLoad(over.signal, failures, calls), ...httpLoad(over.signal, failures, calls)];
    for (const index of [0, 1]) {
      nodes[index]?.process.kill("SIGTERM");
      expect(await nodes[index]?.ended).toMatchObject({ code: 0, err: "" });
      nodes[index] = await start(index);
      await nodes[index]?.ready;
    }
    over.abort();
    await Promise.all(load);
    expect(failures).toEqual([]);
    expect(Math.min(calls.grpc, calls.http)).toBeGreaterThan(100);
  });

  async function json(port: number, method: string, body: object): Promise<void> {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const url = `http://127.0.0.1:${port}/tenantplane.v1.${method}`;
    const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
    const text = await answer.text();
    if (answer.status !== 200) throw new Error(`${method}: ${answer.status} ${text}`);
  }

  /** Reads and writes of a client that takes turns between the nodes, and tries nothing again by itself. */
  function grpcLoad(over: AbortSignal, failures: string[], calls: { grpc: number }): Promise<void>[] {
    const target = `ipv4:${ports.map(({ GRPC_PORT }) => `127.0.0.1:${GRPC_PORT}`).join(",")}`;
    const client = new grpc.Client(target, grpc.credentials.createInsecure(), {
      "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }], methodConfig: [] }),
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 200,
    });
    const metadata = new grpc.Metadata();
    metadata.set("authorization", `Bearer ${key}`);
    const { getTenant, updateTenant } = TenantService.method;
    const call = (method: typeof getTenant | typeof updateTenant, init: object) =>
      new Promise<void>((resolve, reject) => {
        const message = create(
          method.input,
          init as MessageInitShape<typeof GetTenantRequestSchema | typeof UpdateTenantRequestSchema>,
        );
        client.makeUnaryRequest(
          `/${TenantService.typeName}/${method.name}`,
          (bytes: Buffer) => bytes,
          (bytes) => fromBinary(method.output, bytes),
          Buffer.from(toBinary(method.input, message as never)),
          metadata,
          { deadline: Date.now() + 10_000 },
          (error) => (error ? reject(error) : resolve()),
        );
      });
    const name = "tenants/rolling";
    const work = Array.from({ length: 6 }, async (_, worker) => {
      for (let n = 0; !over.aborted; n += 1) {
        const write = { tenant: { name, displayName: `T${n}` }, requestId: crypto.randomUUID() };
        await (worker === 0 ? call(updateTenant, write) : call(getTenant, { name })).catch((error: unknown) =>
          failures.push(`grpc: ${error instanceof Error ? error.message : error}`),
        );
        calls.grpc += 1;
      }
    });
    return [Promise.all(work).then(() => client.close())];
  }

  /** Calls by JSON to those nodes that said a moment ago that they are ready, as a balancer does it. */
  function httpLoad(over: AbortSignal, failures: string[], calls: { http: number }): Promise<void>[] {
    let ready: number[] = ports.map(({ HTTP_PORT }) => Number(HTTP_PORT));
    const probe = async () => {
      while (!over.aborted) {
        const asked = ports.map(async ({ HTTP_PORT }) => {
          const answer = await fetch(`http://127.0.0.1:${HTTP_PORT}/readyz`).catch(() => undefined);
          return answer?.status === 200 ? [Number(HTTP_PORT)] : [];
        });
        ready = (await Promise.all(asked)).flat();
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    const work = Array.from({ length: 4 }, async () => {
      for (let n = 0; !over.aborted; n += 1) {
        const port = ready[n % ready.length] ?? 0;
        await json(port, "TenantService/GetTenant", { name: "tenants/rolling" }).catch((error: unknown) =>
          failures.push(`http: ${error instanceof Error ? `${error.message} ${error.cause ?? ""}` : error}`),
        );
        calls.http += 1;
      }
    });
    return [probe(), ...work];
  }
});
