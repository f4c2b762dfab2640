import { type DescFile, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";
import type { PackageDefinition } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation } from "grpc-health-check";
import { OperatorError } from "../platform/operator-error.ts";
import type { Guarded } from "./chain.ts";
import { addToGrpcServer } from "./grpc-adapter.ts";

export interface GrpcListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly cert: Buffer; readonly key: Buffer } | undefined;
  readonly messageMaxBytes: number;
}

export interface Listener {
  readonly port: number;
  /** Takes no new calls and waits for those under way, at most `timeoutMs`. */
  stop(timeoutMs: number): Promise<void>;
}

/** Clients behind proxies and NAT are pinged before the common idle limit of a minute. */
const KEEPALIVE_TIME_MS = 30_000;
/** One connection carries many calls; more than this at once is a client without bounds. */
const CONCURRENT_STREAMS_MAX = 4_096;

export interface GrpcListener extends Listener {
  /** What grpc.health.v1 says of this node and of each of its services. */
  setServing(serving: boolean): void;
}

/** Starts the gRPC listener with health (grpc.health.v1) and reflection (v1 and v1alpha). */
export async function startGrpcListener(
  guarded: readonly Guarded[],
  options: GrpcListenerOptions,
): Promise<GrpcListener> {
  // What it has to say reaches us as errors.
  grpc.setLogVerbosity(grpc.logVerbosity.NONE);
  const server = new grpc.Server({
    "grpc.max_receive_message_length": options.messageMaxBytes,
    "grpc.max_concurrent_streams": CONCURRENT_STREAMS_MAX,
    "grpc.keepalive_time_ms": KEEPALIVE_TIME_MS,
  });
  addToGrpcServer(server, guarded);
  const names = [...new Set(guarded.map((rpc) => rpc.method.parent.typeName))];
  const health = new HealthImplementation(Object.fromEntries(["", ...names].map((name) => [name, "SERVING"])));
  health.addToServer(server);
  const files = [...new Set(guarded.map((rpc) => rpc.method.parent.file))];
  new ReflectionService(packageOf(files)).addToServer(server);
  const credentials = options.tls
    ? grpc.ServerCredentials.createSsl(null, [{ cert_chain: options.tls.cert, private_key: options.tls.key }])
    : grpc.ServerCredentials.createInsecure();
  const port = await bind(server, `${options.host}:${options.port}`, credentials);
  let known = true;
  const setServing = (serving: boolean) => {
    // Watchers are told of changes alone.
    if (serving === known) return;
    known = serving;
    for (const name of ["", ...names]) health.setStatus(name, serving ? "SERVING" : "NOT_SERVING");
  };
  return {
    port,
    setServing,
    async stop(timeoutMs) {
      setServing(false);
      // A client that does not read keeps its session open, and the library then never reports the end: force it.
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => {
          server.forceShutdown();
          resolve();
        }, timeoutMs);
        server.tryShutdown(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    },
  };
}

function bind(server: grpc.Server, address: string, credentials: grpc.ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => {
      if (!error) resolve(port);
      else
        reject(
          new OperatorError(`gRPC can't listen on ${address}: ${portProblem(error)} Set GRPC_PORT or LISTEN_HOST.`),
        );
    });
  });
}

function portProblem(error: Error): string {
  return /EADDRINUSE|in use|No address added/i.test(error.message)
    ? "the port is taken."
    : `${error.message.split("\n")[0]}.`;
}

// The descriptors that protobuf-es generated, with all they import, in the form the reflection package takes.
function packageOf(files: readonly DescFile[]) {
  const closure = new Set<DescFile>();
  const add = (file: DescFile) => {
    if (closure.has(file)) return;
    for (const dependency of file.dependencies) add(dependency);
    closure.add(file);
  };
  for (const file of files) add(file);
  // The package reads nothing of a definition but these bytes; its own loader would rewrite and so damage them.
  const fileDescriptorProtos = [...closure].map((file) => Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)));
  return { tenantplane: { format: "", type: {}, fileDescriptorProtos } } as unknown as PackageDefinition;
}
