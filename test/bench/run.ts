// `npm run bench`: one JSON object a line. Candidates take turns, medians count, and the ceiling (an empty handler on the
// bare transport) runs beside them, because machines are noisy and only ratios travel.
import { fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { CreateTenantRequestSchema, GetTenantRequestSchema } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { createClients } from "@tenantplane/sdk/web";
import { startApp } from "../../src/app.ts";
import { parseConfig } from "../../src/config.ts";
import { silentLog } from "../../src/platform/log.ts";
import type { Load, Result } from "./load.ts";

const ROUNDS = 5;
const SECONDS = 2;
const TENANTS = 2_000;

const folder = mkdtempSync(join(tmpdir(), "tenantplane-bench-"));
const app = await startApp(parseConfig({ DATA_FOLDER: folder, GRPC_PORT: "0", HTTP_PORT: "0" }), { log: silentLog });
const empty = await startEmptyServer();
try {
  const key = app.firstKey ?? "";
  const clients = createClients({ baseUrl: `http://127.0.0.1:${app.httpPort}`, apiKey: key });
  await clients.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  const address = `127.0.0.1:${app.grpcPort}`;
  const tenant = { displayName: "Bench", plan: "plans/basic", labels: { team: "red" } };

  const creation = await load({
    address,
    key,
    path: "/tenantplane.v1.TenantService/CreateTenant",
    requests: Array.from({ length: TENANTS }, (_, i) =>
      encode(CreateTenantRequestSchema, { tenantId: `bench-${i}`, tenant, activate: true }),
    ),
    once: true,
    seconds: 120,
    concurrency: 32,
  });
  print({ bench: "CreateTenant", perSecond: creation.perSecond, p99Ms: creation.p99Ms, calls: creation.calls });

  const consistency = { requirement: { case: "cached" as const, value: true } };
  const name = (i: number) => `tenants/bench-${i}`;
  const ids = Array.from({ length: 500 }, (_, i) => i);
  const GET = "/tenantplane.v1.TenantService/GetTenant";
  const common = { key, seconds: SECONDS, concurrency: 64, once: false };
  const candidates: Record<string, Load> = {
    "empty grpc-js handler": {
      ...common,
      address: `127.0.0.1:${empty.port}`,
      path: "/bench.Empty/Call",
      requests: [""],
    },
    "GetTenant cached": {
      ...common,
      address,
      path: GET,
      requests: ids.map((i) => encode(GetTenantRequestSchema, { name: name(i), consistency })),
    },
    "GetTenant strong": {
      ...common,
      address,
      path: GET,
      requests: ids.map((i) => encode(GetTenantRequestSchema, { name: name(i) })),
    },
  };
  const results = new Map<string, Result[]>();
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [title, candidate] of Object.entries(candidates)) {
      results.set(title, [...(results.get(title) ?? []), await load(candidate)]);
    }
  }
  const ceiling = median((results.get("empty grpc-js handler") ?? []).map((result) => result.perSecond));
  for (const [title, rounds] of results) {
    const perSecond = median(rounds.map((result) => result.perSecond));
    const p99Ms = median(rounds.map((result) => result.p99Ms));
    print({ bench: title, perSecond, p99Ms, ofEmptyHandler: Number((perSecond / ceiling).toFixed(2)), rounds: ROUNDS });
  }
} finally {
  empty.server.forceShutdown();
  await app.stop();
  rmSync(folder, { recursive: true, force: true });
}

// The load comes from a process of its own, so that it does not share the server's event loop.
function load(candidate: Load): Promise<Result> {
  return new Promise((done, fail) => {
    const child = fork(new URL("./load.ts", import.meta.url), { execArgv: ["--conditions=source"] });
    child.once("message", (result) => done(result as Result));
    child.once("exit", (code) => code !== 0 && fail(new Error(`the load ended with ${code}`)));
    child.send(candidate);
  });
}

function startEmptyServer(): Promise<{ server: grpc.Server; port: number }> {
  const server = new grpc.Server();
  const same = (bytes: Buffer) => bytes;
  const call = {
    path: "/bench.Empty/Call",
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  } as const;
  const nothing = Buffer.alloc(0);
  server.addService({ call }, { call: (_: unknown, callback: grpc.sendUnaryData<Buffer>) => callback(null, nothing) });
  return new Promise((done, fail) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
      if (error) fail(error);
      else done({ server, port });
    });
  });
}

function encode<D extends typeof GetTenantRequestSchema | typeof CreateTenantRequestSchema>(
  desc: D,
  value: Parameters<typeof create<D>>[1],
) {
  return Buffer.from(toBinary(desc, create(desc, value) as never)).toString("base64");
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function print(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
