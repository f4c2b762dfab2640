import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import * as http2 from "node:http2";
import { createServer as createNetServer, type Socket } from "node:net";
import type { DescService, Message } from "@bufbuild/protobuf";
import { type ConnectRouter, cors as connectCors, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { OperatorError } from "../platform/operator-error.ts";
import type { Guarded } from "./chain.ts";
import type { Listener } from "./grpc-listener.ts";
import type { Call } from "./handlers.ts";

export interface HttpListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly cert: Buffer; readonly key: Buffer } | undefined;
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
  const handler = (
    request: IncomingMessage | http2.Http2ServerRequest,
    plain: ServerResponse | http2.Http2ServerResponse,
  ) => {
    const response = plain as Response;
    // Connect's handlers do not see the socket; whatever the caller sent under this name is overwritten.
    request.headers[PEER_HEADER] = request.socket?.remoteAddress ?? "";
    if (allowOrigin(options.corsOrigins, request, response)) return;
    adapter(request, response);
  };
  const sessions = new Set<http2.Http2Session>();
  const server = createDualServer(options, handler, sessions);
  const port = await listen(server, options);
  return {
    port,
    async stop(timeoutMs) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const session of sessions) session.close();
      server.closeIdle();
      const timer = setTimeout(() => {
        shutdown.abort();
        for (const session of sessions) session.destroy();
        server.closeAll();
      }, timeoutMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

// One port for both: over TLS the client chooses by ALPN; in clear text its first bytes tell.
function createDualServer(
  options: HttpListenerOptions,
  handler: (
    request: IncomingMessage | http2.Http2ServerRequest,
    response: ServerResponse | http2.Http2ServerResponse,
  ) => void,
  sessions: Set<http2.Http2Session>,
) {
  const settings = { settings: { maxConcurrentStreams: CONCURRENT_STREAMS_MAX } };
  const h2 = options.tls
    ? http2.createSecureServer({ ...settings, ...options.tls, allowHTTP1: true }, handler)
    : http2.createServer(settings, handler);
  h2.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });
  const sockets = new Set<Socket>();
  const closeAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  if (options.tls) {
    h2.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    });
    return Object.assign(h2, { closeIdle: () => {}, closeAll });
  }
  const h1 = createServer(handler);
  const front = createNetServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setTimeout(FIRST_BYTE_TIMEOUT_MS, () => socket.destroy());
    socket.once("readable", () => {
      const first = socket.read() as Buffer | null;
      if (!first) return;
      socket.setTimeout(0);
      socket.removeAllListeners("timeout");
      socket.unshift(first);
      const isH2 = first.subarray(0, 3).toString("latin1") === "PRI";
      (isH2 ? h2 : h1).emit("connection", socket);
    });
  });
  return Object.assign(front, {
    closeIdle: () => h1.closeIdleConnections(),
    closeAll,
  });
}

/** Carries the caller's address from the socket to the call. */
const PEER_HEADER = "x-tenantplane-peer";
/** As on the gRPC port. */
const CONCURRENT_STREAMS_MAX = 4_096;
/** Whoever connects says something soon. */
const FIRST_BYTE_TIMEOUT_MS = 10_000;

function listen(server: ReturnType<typeof createDualServer>, options: HttpListenerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? "the port is taken" : error.message;
      reject(
        new OperatorError(
          `HTTP can't listen on ${options.host}:${options.port}: ${why}. Set HTTP_PORT or LISTEN_HOST.`,
        ),
      );
    });
    server.listen(options.port, options.host, () => {
      const address = server.address();
      resolve(typeof address === "object" && address ? address.port : options.port);
    });
  });
}

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
    signal: context.signal,
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
  const url = new URL(request.url ?? "/", "http://localhost");
  const page = request.method === "GET" ? await options.pages(url.pathname, url.searchParams) : undefined;
  const { status, type, body } = page ?? { status: 404, type: "text/plain", body: "not found\n" };
  response.statusCode = status;
  response.setHeader("content-type", type);
  (response as ServerResponse).end(body);
}

/** Reads the certificate of the settings, or tells the operator why not. */
export function readTls(certFile: string, keyFile: string): { cert: Buffer; key: Buffer } | undefined {
  if (certFile === "") return undefined;
  try {
    return { cert: readFileSync(certFile), key: readFileSync(keyFile) };
  } catch (error) {
    throw new OperatorError(
      `TLS can't start: ${error instanceof Error ? error.message : "unreadable"}. Check TLS_CERT_FILE and TLS_KEY_FILE.`,
    );
  }
}
