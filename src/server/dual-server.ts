import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import * as http2 from "node:http2";
import type { Socket } from "node:net";
import { every } from "../platform/clock.ts";

/** How a port is served. */
export interface DualServerOptions {
  readonly tls: { readonly cert: Buffer; readonly key: Buffer } | undefined;
  /** How long the head of a request may take. */
  readonly headersTimeoutMs?: number;
  /** How often a connection of HTTP/2 is asked whether its peer is there still. */
  readonly keepaliveMs?: number;
}

export type Handler = (
  request: IncomingMessage | http2.Http2ServerRequest,
  response: ServerResponse | http2.Http2ServerResponse,
) => void;

/** A port that speaks HTTP/1.1 and HTTP/2. */
export interface DualServer {
  /** Resolves with the port; rejects with the system's error. */
  listen(port: number, host: string): Promise<number>;
  /** Takes no new connections, ends those without a request under way, and waits for the others. */
  close(): Promise<void>;
  /** Ends all connections. */
  destroy(): void;
}

/** As on the gRPC port. */
const CONCURRENT_STREAMS_MAX = 4_096;
/** Whoever connects says something soon. */
const HEADERS_TIMEOUT_MS = 10_000;
/** Below the common idle limit of proxies and NAT, a minute; as on the gRPC port. */
const KEEPALIVE_MS = 30_000;

/** Makes a server of both protocols: over TLS the client chooses by ALPN; in clear text its first bytes tell. */
export function createDualServer(options: DualServerOptions, handler: Handler): DualServer {
  const { tls, headersTimeoutMs: headersTimeout = HEADERS_TIMEOUT_MS } = options;
  const timeouts = { headersTimeout, connectionsCheckingInterval: headersTimeout / 2 };
  const settings = { settings: { maxConcurrentStreams: CONCURRENT_STREAMS_MAX } };
  const h2 = tls
    ? http2.createSecureServer({ ...settings, ...tls, ...timeouts, allowHTTP1: true }, handler)
    : http2.createServer(settings, handler);
  const server = tls ? h2 : splitByPreface(createHttpServer(timeouts, handler), h2, headersTimeout);
  const sockets = track<Socket>((add) => server.on("connection", add));
  const sessions = track<http2.ServerHttp2Session>((add) => h2.on("session", add));
  const pingAll = async () => {
    for (const session of sessions) ping(session);
  };
  let stopPinging = () => {};
  return {
    listen: (port, host) =>
      new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, host, () => {
          stopPinging = every(options.keepaliveMs ?? KEEPALIVE_MS, pingAll, () => {});
          const address = server.address();
          resolve(typeof address === "object" && address ? address.port : port);
        });
      }),
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const session of sessions) session.close();
      await closed;
      stopPinging();
    },
    destroy() {
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
    },
  };
}

// A peer that vanished without a word answers no ping, and the connection goes with all its streams.
const unanswered = new WeakSet<http2.Http2Session>();

function ping(session: http2.Http2Session): void {
  if (unanswered.has(session)) session.destroy();
  else if (!session.destroyed && session.ping(() => unanswered.delete(session))) unanswered.add(session);
}

function track<T extends { once(event: "close", listener: () => void): unknown }>(
  onNew: (add: (item: T) => void) => void,
): Set<T> {
  const items = new Set<T>();
  onNew((item) => {
    items.add(item);
    item.once("close", () => items.delete(item));
  });
  return items;
}

type Http1Server = ReturnType<typeof createHttpServer>;

/** How a connection of HTTP/2 begins; no method of HTTP/1.1 does. */
const PREFACE = Buffer.from("PRI");

// The server of HTTP/1.1 listens, so that its own care for timeouts and idle connections works; what begins with the
// preface of HTTP/2 is handed on.
function splitByPreface(h1: Http1Server, h2: http2.Http2Server, timeoutMs: number): Http1Server {
  const serveHttp1 = h1.listeners("connection") as ((socket: Socket) => void)[];
  h1.removeAllListeners("connection");
  return h1.on("connection", (socket: Socket) => {
    let first: Buffer = Buffer.alloc(0);
    const drop = () => void socket.destroy();
    const timer = setTimeout(drop, timeoutMs);
    const look = () => {
      const chunk = socket.read() as Buffer | null;
      if (!chunk) return;
      first = Buffer.concat([first, chunk]);
      const compared = Math.min(first.length, PREFACE.length);
      const matches = first.subarray(0, compared).equals(PREFACE.subarray(0, compared));
      if (matches && first.length < PREFACE.length) return;
      settle();
      socket.unshift(first);
      if (matches) h2.emit("connection", socket);
      else for (const serve of serveHttp1) serve.call(h1, socket);
    };
    const settle = () => {
      clearTimeout(timer);
      socket.off("readable", look).off("end", drop).off("error", drop).off("close", settle);
    };
    socket.on("readable", look).once("end", drop).once("error", drop).once("close", settle);
  });
}
