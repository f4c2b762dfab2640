import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import { type App, startApp } from "../app.ts";
import { type Config, parseConfig, readConfig } from "../config.ts";
import { systemClock } from "../platform/clock.ts";
import { createLog } from "../platform/log.ts";
import { OperatorError } from "../platform/operator-error.ts";
import { keyFileOf, localAddress } from "./local-node.ts";

/** Runs a node until SIGINT or SIGTERM, then drains it. A worker does background work alone. Throws OperatorError. */
export async function serve(role: "server" | "worker"): Promise<void> {
  const config = readConfig();
  if (role === "worker") requireWork(config);
  const log = createLog(config.LOG_LEVEL, (line) => process.stderr.write(line), systemClock.now);
  let stopAsked: () => void = () => {};
  const asked = new Promise<void>((resolve) => {
    stopAsked = resolve;
  });
  // A signal during the start counts too: it is heeded as soon as there is something to stop.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, stopAsked);
  const app = await startApp(config, { log, role, keepFirstKey: (secret) => writeKey(config, secret) });
  const keyFile = existsSync(keyFileOf(config)) ? keyFileOf(config) : undefined;
  process.stdout.write(role === "worker" ? workerGreeting(config, app) : greeting(config, app, keyFile));
  await asked;
  process.stdout.write("Stopping: no new calls, waiting for those under way ...\n");
  await app.stop();
  process.stdout.write("Stopped.\n");
}

function requireWork({ REDIS_URL: redisUrl, RUN_JOBS: runJobs }: Config): void {
  if (redisUrl === "") throw new OperatorError("A worker needs REDIS_URL: without it a node does all work itself.");
  if (!runJobs) throw new OperatorError("A worker with RUN_JOBS off would do nothing: unset RUN_JOBS.");
}

function workerGreeting(config: Config, app: App): string {
  return `
Tenantplane's worker is ready.
  Probes and metrics   ${localAddress(config, app.httpPort)}

Ctrl-C stops it.
`;
}

function writeKey(config: Config, secret: string): void {
  const file = keyFileOf(config);
  try {
    mkdirSync(config.DATA_FOLDER, { recursive: true });
    // Anew: the mode is for new files, and there may be one of an earlier database.
    rmSync(file, { force: true });
    writeFileSync(file, `${secret}\n`, { mode: 0o600, flag: "wx" });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown";
    throw new OperatorError(
      `The first admin key can't be kept in ${file} (${code}): make the folder yours, or set DATA_FOLDER.`,
    );
  }
}

function greeting(config: Config, app: App, keyFile: string | undefined): string {
  const grpc = localAddress(config, app.grpcPort);
  const http = localAddress(config, app.httpPort);
  const shown = keyFile && shortest(keyFile);
  const key = shown ? `$(cat ${shown})` : "$TENANTPLANE_KEY";
  const first = app.firstKey ? `  First admin key: ${app.firstKey} (kept in ${shown})\n` : "";
  const clear = config.TLS_CERT_FILE ? "" : "--http2-prior-knowledge ";
  return `
Tenantplane is ready.
  gRPC                            ${grpc}
  Connect, gRPC-Web, JSON, HTTP   ${http}
${first}
Try it:
  npx buf curl --protocol grpc ${clear}-H "Authorization: Bearer ${key}" \\
    -d '{"pageSize":5}' ${grpc}/tenantplane.v1.TenantService/ListTenants
  curl -s -H "Authorization: Bearer ${key}" -H 'Content-Type: application/json' -d '{}' \\
    ${http}/tenantplane.v1.TenantService/ListTenants
  npx tenantplane ${wayTo(grpc, keyFile)}tenants list

Ctrl-C stops it.
`;
}

// The options by which a command without this node's environment finds it.
function wayTo(grpc: string, keyFile: string | undefined): string {
  const defaults = parseConfig({});
  const server = grpc === localAddress(defaults, defaults.GRPC_PORT) ? "" : `--server ${grpc} `;
  return `${server}${keyFile && keyFile !== keyFileOf(defaults) ? `--key-file ${shortest(keyFile)} ` : ""}`;
}

function shortest(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere !== "" && fromHere.length < path.length ? fromHere : path;
}
