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
import { serveRoute } from "./http-route.ts";
import { type GuardedRoute, matchRoute } from "./route.ts";

export interface HttpListenerOptions extends DualServerOptions {
  readonly host: string;
  readonly port: number;
  readonly messageMaxBytes: number;
  readonly corsOrigins: readonly string[];
  /** The endpoints that are not RPCs. */
  readonly routes?: readonly GuardedRoute[];
  /** Answers what needs no key, such as /livez. */
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
    fallback: (request, response) => void answerOther(options, request, response),
  });
  const handler: Handler = (request, plain) => {
    const response = plain as Response;
    // Connect's handlers see neither the socket nor the host; whatever the caller sent under these names is overwritten.
    request.headers[PEER_HEADER] = request.socket?.remoteAddress ?? "";
    request.headers[AUTHORITY_HEADER] = String(request.headers[":authority"] ?? request.headers.host ?? "");
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
/** Carries the host that a call was sent to. */
const AUTHORITY_HEADER = "x-tenantplane-authority";

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
      return (request: Message, context: HandlerContext) => rpc.unary(request, callOf(context));
    case "server_streaming":
      return (request: Message, context: HandlerContext) => rpc.stream(request, callOf(context));
    case "bidi_streaming":
      return (requests: Requests, context: HandlerContext) => rpc.exchange(requests, callOf(context));
    case "client_streaming":
      return async (requests: Requests, context: HandlerContext) => {
        const [answer] = await Array.fromAsync(rpc.exchange(requests, callOf(context)));
        return answer;
      };
  }
}

function callOf(context: HandlerContext): Call {
  return {
    header: (name) => context.requestHeader.get(name === ":authority" ? AUTHORITY_HEADER : name) ?? undefined,
    setHeader: (name, value) => context.responseHeader.set(name, value),
    isHttp: true,
    peer: context.requestHeader.get(PEER_HEADER) ?? "",
    timeoutMs: context.timeoutMs(),
    signal: () => context.signal,
  };
}

const EXPOSED_HEADERS = ["x-request-id", "retry-after", "ratelimit", "ratelimit-policy", "etag"];
const ALLOWED_HEADERS = [
  ...["authorization", "x-api-key", "x-request-id", "if-none-match"],
  ...["flagd-selector", "x-tenantplane-tenant"],
];

// Answers a preflight, and marks other answers as readable for the origin. True when the answer is complete.
function allowOrigin(origins: readonly string[], request: Request, response: Response): boolean {
  const origin = request.headers.origin;
  if (typeof origin !== "string" || !(origins.includes("*") || origins.includes(origin))) return false;
  response.setHeader("access-control-allow-origin", origins.includes("*") ? "*" : origin);
  response.setHeader("access-control-expose-headers", [...connectCors.exposedHeaders, ...EXPOSED_HEADERS].join(", "));
  response.setHeader("vary", "origin");
  if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined) return false;
  response.setHeader("access-control-allow-methods", connectCors.allowedMethods.join(", "));
  response.setHeader("access-control-allow-headers", [...connectCors.allowedHeaders, ...ALLOWED_HEADERS].join(", "));
  response.setHeader("access-control-max-age", "7200");
  response.statusCode = 204;
  response.end();
  return true;
}

async function answerOther(options: HttpListenerOptions, request: Request, response: Response): Promise<void> {
  // Not every path that arrives is one of a URL.
  const url = URL.parse(request.url ?? "/", "http://localhost");
  const matched = url && matchRoute(options.routes ?? [], request.method ?? "", url);
  if (matched) await serveRoute(matched, { request, response, bodyMaxBytes: options.messageMaxBytes });
  else await answerPage(options, request, response, url);
}

async function answerPage(
  { pages }: HttpListenerOptions,
  { method }: Request,
  response: Response,
  url: URL | null,
): Promise<void> {
  const reads = method === "GET" || method === "HEAD";
  const found = reads && url ? await pages(url.pathname, url.searchParams).catch(() => FAILED) : undefined;
  const { status, type, body } = found ?? MISSING;
  response.statusCode = status;
  response.setHeader("content-type", type);
  (response as ServerResponse).end(method === "HEAD" ? undefined : body);
}

const MISSING: Page = { status: 404, type: "text/plain", body: "not found\n" };
const FAILED: Page = { status: 500, type: "text/plain", body: "internal error\n" };

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
