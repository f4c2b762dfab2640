import { request as httpRequest } from "node:http";
import { connect } from "node:http2";
import { request as httpsRequest } from "node:https";
import { createServer } from "node:net";
import type { Config } from "../../config.ts";
import { localAddress } from "../local-node.ts";
import { type Finding, fail, ok, skip, warn } from "./finding.ts";

type ListenConfig = Pick<Config, "LISTEN_HOST" | "TLS_CERT_FILE" | "GRPC_PORT" | "HTTP_PORT">;

/** A node on this machine answers within this, or hangs. */
const ANSWER_TIMEOUT_MS = 3_000;
/** More than any page that is asked for; a stranger may send for ever. */
const ANSWER_BYTES_MAX = 64 * 1024;

/** Checks that both ports are free, or served by a node; then whether it is ready, and of this release. */
export async function checkListeners(config: ListenConfig, ownVersion: string): Promise<Finding[]> {
  const { GRPC_PORT: grpcPort, HTTP_PORT: httpPort } = config;
  const grpc = await checkPort("grpc port", "GRPC_PORT", config, grpcPort, isGrpcOurs);
  const http = await checkPort("http port", "HTTP_PORT", config, httpPort, async (address) => {
    return (await readVersion(address)) !== undefined;
  });
  const findings = [grpc.finding, http.finding];
  if (!http.isOurs) return [...findings, skip("readiness", "no node runs here")];
  return [...findings, ...(await checkServed(localAddress(config, httpPort), ownVersion))];
}

async function checkPort(
  check: string,
  setting: string,
  config: ListenConfig,
  port: number,
  isOurs: (address: string) => Promise<boolean>,
): Promise<{ finding: Finding; isOurs: boolean }> {
  const place = `${config.LISTEN_HOST}:${port}`;
  if (port === 0) return { finding: ok(check, "any free one, chosen at the start"), isOurs: false };
  const code = await tryToListen(config.LISTEN_HOST, port);
  if (code === undefined) return { finding: ok(check, `${place} is free`), isOurs: false };
  if (code !== "EADDRINUSE") {
    return {
      finding: fail(check, `${place} can't be listened on (${code})`, `set ${setting} or LISTEN_HOST`),
      isOurs: false,
    };
  }
  if (await isOurs(localAddress(config, port)))
    return { finding: ok(check, `${place} is served by a node`), isOurs: true };
  const advice = `end what listens there, or set ${setting}`;
  return { finding: fail(check, `${place} is taken, and not by Tenantplane`, advice), isOurs: false };
}

function tryToListen(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "unknown"));
    probe.listen(port, host, () => probe.close(() => resolve(undefined)));
  });
}

async function checkServed(address: string, ownVersion: string): Promise<Finding[]> {
  const version = await readVersion(address);
  const readiness = await get(`${address}/readyz?verbose`).catch(() => undefined);
  return [
    version === ownVersion
      ? ok("release", `the node and this command are both ${ownVersion}`)
      : warn("release", `the node is ${version}, this command ${ownVersion}`, "bring both to the same release"),
    judgeReadiness(readiness?.status, readiness?.body ?? ""),
  ];
}

/** What a node's own checks ("[-]" failed) and notes ("[i]", or "[!]" when it could not look) mean. */
export function judgeReadiness(status: number | undefined, page: string): Finding {
  const told = (mark: string) =>
    page.split("\n").flatMap((line) => (line.startsWith(mark) ? [line.slice(mark.length)] : []));
  if (status !== 200) {
    return fail("readiness", `the node takes no calls: ${told("[-] ").join(", ") || "no answer"}`, "see its log");
  }
  const [missing] = told("[!] ");
  if (missing !== undefined) return warn("readiness", `the node takes calls; ${missing}`, "see its log");
  return ok("readiness", ["the node takes calls", ...told("[i] ")].join("; "));
}

async function readVersion(address: string): Promise<string | undefined> {
  try {
    const { body } = await get(`${address}/version`);
    const { name, version } = JSON.parse(body) as { name?: unknown; version?: unknown };
    return name === "tenantplane" ? String(version) : undefined;
  } catch {
    return undefined;
  }
}

function get(url: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    // The certificate is judged elsewhere; here it only matters who answers.
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const options = { rejectUnauthorized: false, agent: false, signal } as const;
    const request = url.startsWith("https:") ? httpsRequest(url, options) : httpRequest(url, options);
    request.on("error", reject);
    request.once("response", (response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => {
        body += chunk.toString("latin1");
        if (body.length > ANSWER_BYTES_MAX) response.destroy(new Error("no answer of ours"));
      });
      response.once("end", () => resolve({ status: response.statusCode ?? 0, body }));
      response.once("error", reject);
    });
    request.end();
  });
}

/** gRPC's code for a call without credentials: the answer of a node, and of no other server to this call. */
const UNAUTHENTICATED = "16";

function isGrpcOurs(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const session = connect(address, { rejectUnauthorized: false });
    const finish = (isOurs: boolean) => {
      session.destroy();
      resolve(isOurs);
    };
    session.on("error", () => finish(false));
    session.setTimeout(ANSWER_TIMEOUT_MS, () => finish(false));
    const path = "/tenantplane.v1.AccessService/TestPermissions";
    const headers = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
    const stream = session.request(headers);
    const look = (found: Record<string, unknown>) => {
      if (found["grpc-status"] !== undefined) finish(found["grpc-status"] === UNAUTHENTICATED);
    };
    stream.once("response", look);
    stream.once("trailers", look);
    stream.on("error", () => finish(false));
    stream.once("close", () => finish(false));
    stream.resume();
    // An empty message: uncompressed, of no bytes.
    stream.end(Buffer.alloc(5));
  });
}
