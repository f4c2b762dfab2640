// A server in a process of its own: a whole node, or an empty handler on a bare transport as the ceiling beside it.
import { createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { type App, startApp } from "../../../src/app.ts";
import { parseConfig } from "../../../src/config.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { EchoService } from "../../support/echo/gen/echo_pb.ts";
import { obey } from "./obey.ts";
import { EMPTY_PATH } from "./paths.ts";

export type Order =
  | { readonly do: "serve"; readonly what: "node"; readonly settings: Readonly<Record<string, string>> }
  | { readonly do: "serve"; readonly what: "empty grpc-js" | "empty node:http2" | "empty connect-node" }
  | { readonly do: "memory" }
  | { readonly do: "cpu" }
  | { readonly do: "tick" };

/** What a server tells once it listens. */
export interface Started {
  readonly grpcPort: number;
  readonly httpPort: number;
  readonly key: string;
  /** How long the start took. */
  readonly ms: number;
}

/** What the process holds after a collection of garbage. */
export interface Memory {
  readonly rssMib: number;
  readonly heapMib: number;
}

let app: App | undefined;

obey<Order>(
  (order) => {
    switch (order.do) {
      case "serve":
        return order.what === "node" ? startNode(order.settings) : startEmpty(order.what);
      case "memory":
        return memory();
      case "cpu":
        return Promise.resolve(cpuUs());
      case "tick":
        return app?.tick() ?? Promise.resolve();
    }
  },
  async () => app?.stop(),
);

async function startNode(settings: Readonly<Record<string, string>>): Promise<Started> {
  const startedAt = performance.now();
  const ports = { GRPC_PORT: "0", HTTP_PORT: "0", DRAIN_TIMEOUT_MS: "500" };
  app = await startApp(parseConfig({ ...ports, ...settings }), { log: silentLog });
  return { ...app, key: app.firstKey ?? "", ms: performance.now() - startedAt };
}

// All threads': the time that the machine gave to this process, however busy others were.
function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

async function memory(): Promise<Memory> {
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rssMib: rss / 2 ** 20, heapMib: (heapUsed + external) / 2 ** 20 };
}

async function startEmpty(what: "empty grpc-js" | "empty node:http2" | "empty connect-node"): Promise<Started> {
  const startedAt = performance.now();
  const port = await (what === "empty grpc-js" ? startGrpcJs() : startHttp2(what));
  return { grpcPort: port, httpPort: port, key: "", ms: performance.now() - startedAt };
}

function startGrpcJs(): Promise<number> {
  const server = new grpc.Server();
  const same = (bytes: Buffer) => bytes;
  const call = {
    path: EMPTY_PATH,
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  } as const;
  const nothing = Buffer.alloc(0);
  server.addService({ call }, { call: (_: unknown, callback: grpc.sendUnaryData<Buffer>) => callback(null, nothing) });
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    );
  });
}

async function startHttp2(what: "empty node:http2" | "empty connect-node"): Promise<number> {
  const server = createServer();
  if (what === "empty connect-node") {
    server.on("request", connectNodeAdapter({ routes: (router) => router.rpc(EchoService.method.unary, () => ({})) }));
  } else {
    server.on("stream", (stream: ServerHttp2Stream) => {
      stream.resume();
      stream.once("end", () => {
        stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
        stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
        // A message of no bytes: its prefix alone.
        stream.end(Buffer.alloc(5));
      });
    });
  }
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}
