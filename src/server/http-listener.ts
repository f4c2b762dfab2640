import { readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { createSecureContext } from "node:tls";
import type { DescService, Message } from "@bufbuild/protobuf";
import { type ConnectRouter, cors as connectCors, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { OperatorError } from "../platform/operator-error.ts";
import type { Guarded } from "./chain.ts";
import { createDualServer, type DualServerOptions, type Handler } from "./dual-server.ts";
import type { Listener } from "./grpc-listener.ts";
import type { Call } from "./handlers.ts";

export interface HttpListenerOptions extends DualServerOptions {
  readonly host: string;
  readonly port: number;
  readonly messageMaxBytes: number;
  readonly corsOrigins: readonly string[];
  /** Answers what is not an RPC, such as /livez. */
  readonly pages: (path: string, query: URLSearchParams) => Promise<Page | undefined>;
}

export interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

type Adapter = ReturnType<typeof connectNodeAdapter>;
type Request = Parameters<Adapter>[0];
type Response = Parameters<Adapter>[1];

/** Starts the listener that speaks Connect, gRPC-Web, gRPC and JSON, over HTTP/1.1 and HTTP/2 on one port. */
export async function startHttpListener(guarded: readonly Guarded[], options: HttpListenerOptions): Promise<Listener> {
  const shutdown = new AbortController();
  const adapter = connectNodeAdapter({
    routes: (router) => route(router, guarded),
    readMaxBytes: options.messageMaxBytes,
    shutdownSignal: shutdown.signal,
    fallback: (request, response) => void answerPage(options, request, response),
  });
  const handler: Handler = (request, plain) => {
    const response = plain as Response;
    // Connect's handlers do not see the socket; whatever the caller sent under this name is overwritten.
    request.headers[PEER_HEADER] = request.socket?.remoteAddress ?? "";
    if (allowOrigin(options.corsOrigins, request, response)) return;
    adapter(request, response);
  };
  const server = createDualServer(options, handler);
  const port = await server.listen(options.port, options.host).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === "EADDRINUSE" ? "the port is taken" : error.message;
    throw new OperatorError(
      `HTTP can't listen on ${options.host}:${options.port}: ${why}. Set HTTP_PORT or LISTEN_HOST.`,
    );
  });
  return {
    port,
    async stop(timeoutMs) {
      const timer = setTimeout(() => {
        shutdown.abort();
        server.destroy();
      }, timeoutMs);
      await server.close();
      clearTimeout(timer);
    },
  };
}

/** Carries the caller's address from the socket to the call. */
const PEER_HEADER = "x-tenantplane-peer";

function route(router: ConnectRouter, guarded: readonly Guarded[]): void {
  for (const [service, rpcs] of Map.groupBy(guarded, (rpc) => rpc.method.parent)) {
    const entries = rpcs.map((rpc) => [rpc.method.localName, implementation(rpc)]);
    router.service(service, Object.fromEntries(entries) as ServiceImpl<DescService>);
  }
}

function implementation(rpc: Guarded) {
  type Requests = AsyncIterable<Message>;
  switch (rpc.method.methodKind) {
    case "unary":
      return (request: Message, context: HandlerContext) => rpc.unary(request, callOf(rpc, context));
    case "server_streaming":
      return (request: Message, context: HandlerContext) => rpc.stream(request, callOf(rpc, context));
    case "bidi_streaming":
      return (requests: Requests, context: HandlerContext) => rpc.exchange(requests, callOf(rpc, context));
    case "client_streaming":
      return async (requests: Requests, context: HandlerContext) => {
        const [answer] = await Array.fromAsync(rpc.exchange(requests, callOf(rpc, context)));
        return answer;
      };
  }
}

function callOf(rpc: Guarded, context: HandlerContext): Call {
  return {
    method: rpc.method,
    header: (name) => context.requestHeader.get(name) ?? undefined,
    setHeader: (name, value) => context.responseHeader.set(name, value),
    isHttp: true,
    peer: context.requestHeader.get(PEER_HEADER) ?? "",
    timeoutMs: context.timeoutMs(),
    signal: () => context.signal,
  };
}

// Answers a preflight, and marks other answers as readable for the origin. True when the answer is complete.
function allowOrigin(origins: readonly string[], request: Request, response: Response): boolean {
  const origin = request.headers.origin;
  if (typeof origin !== "string" || !(origins.includes("*") || origins.includes(origin))) return false;
  response.setHeader("access-control-allow-origin", origins.includes("*") ? "*" : origin);
  response.setHeader(
    "access-control-expose-headers",
    [...connectCors.exposedHeaders, "x-request-id", "retry-after", "ratelimit", "ratelimit-policy"].join(", "),
  );
  response.setHeader("vary", "origin");
  if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined) return false;
  response.setHeader("access-control-allow-methods", connectCors.allowedMethods.join(", "));
  response.setHeader(
    "access-control-allow-headers",
    [...connectCors.allowedHeaders, "authorization", "x-api-key", "x-request-id"].join(", "),
  );
  response.setHeader("access-control-max-age", "7200");
  response.statusCode = 204;
  response.end();
  return true;
}

async function answerPage(options: HttpListenerOptions, request: Request, response: Response): Promise<void> {
  const { status, type, body } = await findPage(options, request).catch(() => FAILED);
  response.statusCode = status;
  response.setHeader("content-type", type);
  (response as ServerResponse).end(request.method === "HEAD" ? undefined : body);
}

const MISSING: Page = { status: 404, type: "text/plain", body: "not found\n" };
const FAILED: Page = { status: 500, type: "text/plain", body: "internal error\n" };

async function findPage(options: HttpListenerOptions, request: Request): Promise<Page> {
  const reads = request.method === "GET" || request.method === "HEAD";
  // Not every path that arrives is one of a URL.
  const url = URL.parse(request.url ?? "/", "http://localhost");
  return (reads && url ? await options.pages(url.pathname, url.searchParams) : undefined) ?? MISSING;
}

/** Reads the certificate of the settings, or tells the operator why not. */
export function readTls(certFile: string, keyFile: string): { cert: Buffer; key: Buffer } | undefined {
  if (certFile === "") return undefined;
  try {
    const tls = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
    // Both must be PEM, and belong together.
    createSecureContext(tls);
    return tls;
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n")[0] : "unreadable";
    throw new OperatorError(`TLS can't start: ${why}. Check TLS_CERT_FILE and TLS_KEY_FILE.`);
  }
}
