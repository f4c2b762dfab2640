import type { ServerResponse } from "node:http";
import type { connectNodeAdapter } from "@connectrpc/connect-node";
import { DomainError } from "../errors.ts";
import type { Call } from "./handlers.ts";
import type { GuardedRoute, MatchedRoute, RouteAnswer, RouteRequest } from "./route.ts";

type Adapter = ReturnType<typeof connectNodeAdapter>;
type Request = Parameters<Adapter>[0];
type Response = Parameters<Adapter>[1];

/** Answers a request of HTTP by the route that it matches. */
export async function serveRoute(
  matched: MatchedRoute | { readonly allowed: readonly string[] },
  from: { readonly request: Request; readonly response: Response; readonly bodyMaxBytes: number },
): Promise<void> {
  const { response } = from;
  if ("allowed" in matched) return send(response, { status: 405, headers: { allow: matched.allowed.join(", ") } });
  const { route } = matched;
  const request = { ...matched.request, body: () => readBody(from.request, from.bodyMaxBytes) };
  const call = callOf(from.request, response);
  try {
    if (route.streams === undefined) send(response, await route.answer(request, call));
    else await sendAll(route, route.streams, { request, call, response });
  } catch (error) {
    // Of a stream under way the caller is told nothing but its end.
    if (response.headersSent) response.destroy();
    else send(response, route.refuse(error, request));
  }
}

function send(response: Response, { status, headers = {}, json }: RouteAnswer): void {
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  if (json !== undefined) response.setHeader("content-type", "application/json");
  (response as ServerResponse).end(json === undefined ? undefined : JSON.stringify(json));
}

interface Streaming {
  readonly request: RouteRequest;
  readonly call: Call;
  readonly response: Response;
}

// The head goes out with the first piece: before it, a refusal has a status of its own.
async function sendAll(route: GuardedRoute, type: string, { request, call, response }: Streaming): Promise<void> {
  for await (const { text } of route.stream(request, call)) {
    if (response.destroyed) return;
    if (!response.headersSent) {
      response.statusCode = 200;
      response.setHeader("content-type", type);
      response.setHeader("cache-control", "no-store");
      // Proxies are not to hold pieces back.
      response.setHeader("x-accel-buffering", "no");
    }
    if (!(response as ServerResponse).write(text)) await drained(response);
  }
  response.end();
}

function drained(response: Response): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
    if (response.destroyed) done();
  });
}

function callOf(request: Request, response: Response): Call {
  return {
    header(name) {
      const { headers } = request;
      const value = name === ":authority" ? (headers[":authority"] ?? headers.host) : headers[name];
      return Array.isArray(value) ? value[0] : value;
    },
    setHeader: (name, value) => {
      if (!response.headersSent) response.setHeader(name, value);
    },
    isHttp: true,
    peer: request.socket?.remoteAddress ?? "",
    timeoutMs: undefined,
    signal: () => {
      const leaving = new AbortController();
      if (response.destroyed) leaving.abort();
      else response.once("close", () => leaving.abort());
      return leaving.signal;
    },
  };
}

// What is too large is not kept. The request stays whole, since with it would go the connection that the answer needs.
async function readBody(request: Request, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) break;
      chunks.push(chunk);
    }
  } catch (cause) {
    throw new DomainError("CANCELLED", "the caller went away", {}, { cause });
  }
  if (size > maxBytes) throw new DomainError("MESSAGE_TOO_LARGE", `the body has more than ${maxBytes} bytes`);
  return Buffer.concat(chunks);
}
