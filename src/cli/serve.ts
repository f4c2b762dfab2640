import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { type App, startApp } from "../app.ts";
import { type Config, readConfig } from "../config.ts";
import { systemClock } from "../platform/clock.ts";
import { createLog } from "../platform/log.ts";

/** Runs a node until SIGINT or SIGTERM, then drains it. */
export async function serve(): Promise<void> {
  const config = readConfig();
  const log = createLog(config.LOG_LEVEL, (line) => process.stderr.write(line), systemClock.now);
  let stopAsked: () => void = () => {};
  const asked = new Promise<void>((resolve) => {
    stopAsked = resolve;
  });
  // A signal during the start counts too: it is heeded as soon as there is something to stop.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, stopAsked);
  const app = await startApp(config, { log });
  const keyFile = keepFirstKey(config, app);
  process.stdout.write(greeting(config, app, keyFile));
  await asked;
  process.stdout.write("Stopping: no new calls, waiting for those under way ...\n");
  await app.stop();
  process.stdout.write("Stopped.\n");
}

/** Where the first admin key is kept, for the owner of the process alone. */
export function keyFileOf(config: Pick<Config, "DATA_FOLDER">): string {
  return join(config.DATA_FOLDER, "admin-key");
}

function keepFirstKey(config: Config, app: App): string | undefined {
  const file = keyFileOf(config);
  if (app.firstKey) {
    mkdirSync(config.DATA_FOLDER, { recursive: true });
    writeFileSync(file, `${app.firstKey}\n`, { mode: 0o600 });
  }
  return existsSync(file) ? file : undefined;
}

function greeting(config: Config, app: App, keyFile: string | undefined): string {
  const scheme = config.TLS_CERT_FILE ? "https" : "http";
  const grpc = `${scheme}://${config.LISTEN_HOST}:${app.grpcPort}`;
  const http = `${scheme}://${config.LISTEN_HOST}:${app.httpPort}`;
  const key = keyFile ? `$(cat ${relative(process.cwd(), keyFile) || keyFile})` : "$TENANTPLANE_KEY";
  const first =
    app.firstKey && keyFile ? `  First admin key: ${readFileSync(keyFile, "utf8").trim()} (kept in ${keyFile})\n` : "";
  return `
Tenantplane is ready.
  gRPC                            ${grpc}
  Connect, gRPC-Web, JSON, HTTP   ${http}
${first}
Try it:
  npx buf curl --protocol grpc --http2-prior-knowledge -H "Authorization: Bearer ${key}" \\
    -d '{"pageSize":5}' ${grpc}/tenantplane.v1.TenantService/ListTenants
  curl -s -H "Authorization: Bearer ${key}" -H 'Content-Type: application/json' -d '{}' \\
    ${http}/tenantplane.v1.TenantService/ListTenants
  npx tenantplane tenants list

Ctrl-C stops it.
`;
}
