import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { AccessRuleSchema } from "@tenantplane/sdk/gen/tenantplane/v1/options_pb";
import type { Ctx } from "../context.ts";
import { DomainError } from "../errors.ts";
import type { NowOrLater } from "../platform/now-or-later.ts";
import { byHeaders, runStream, runUnary } from "./chain.ts";
import type { AnyHandler, Call } from "./handlers.ts";
import type { ChainDeps, Endpoint, Identify } from "./run.ts";

/** An endpoint of HTTP that is no RPC. Its calls go through the same chain. */
export interface Route {
  /** What the metrics, the log and the audit log call it, such as "ofrep.v1/EvaluateFlag". */
  readonly name: string;
  readonly method: "GET" | "POST";
  /** A part in braces stands for any: "/ofrep/v1/evaluate/flags/{key}". A slash at the end makes no difference. */
  readonly path: string;
  readonly rule: MessageInitShape<typeof AccessRuleSchema>;
  /** In the place of the usual headers. */
  readonly identify?: Identify;
  readonly handle: RouteHandler;
  /** In the place of our own form of an error. */
  readonly refuse?: (refusal: Refusal, request: RouteRequest) => RouteAnswer;
}

/** One answer; or, piece by piece, a body of the type that the route names. */
export type RouteHandler =
  | { readonly answer: (request: RouteRequest, ctx: Ctx) => NowOrLater<RouteAnswer> }
  | { readonly stream: (request: RouteRequest, ctx: Ctx) => AsyncIterable<string>; readonly type: string };

export interface RouteRequest {
  /** What stands in the place of the path's parts in braces. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Reads the body. Throws MESSAGE_TOO_LARGE. */
  readonly body: () => Promise<Buffer>;
}

export interface RouteAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Becomes JSON; an answer without it has no body. */
  readonly json?: unknown;
}

/** An error as the caller may see it. */
export interface Refusal {
  /** The status that is usual for it. */
  readonly status: number;
  readonly error: DomainError;
  /** As the caller may read it. */
  readonly message: string;
}

/** A route behind the chain, ready for the listener. */
export interface GuardedRoute extends Pick<Route, "method" | "path"> {
  /** The type of the body that is streamed; undefined when there is one answer. */
  readonly streams: string | undefined;
  answer(request: RouteRequest, call: Call): NowOrLater<RouteAnswer>;
  stream(request: RouteRequest, call: Call): AsyncIterable<Piece>;
  /** Turns what the other two throw into an answer. */
  refuse(error: unknown, request: RouteRequest): RouteAnswer;
}

export interface Piece {
  readonly text: string;
}

/** Puts routes behind the chain of the RPCs. */
export function guardRoutes(deps: ChainDeps, routes: readonly Route[]): GuardedRoute[] {
  return routes.map(({ name, method, path, rule, identify = byHeaders, handle, refuse = refuseByJson }) => {
    const common = {
      ...{ deps, name, identify },
      rule: create(AccessRuleSchema, rule),
      textOf: undefined,
      onDrain: "break off" as const,
    };
    const one: Endpoint<RouteAnswer> = {
      ...common,
      handler: ("answer" in handle ? handle.answer : unused) as AnyHandler,
      complete: (given) => given as RouteAnswer,
    };
    const many: Endpoint<Piece> = {
      ...common,
      handler: ("stream" in handle ? pieces(handle.stream) : unused) as AnyHandler,
      complete: (given) => given as Piece,
    };
    return {
      ...{ method, path },
      streams: "stream" in handle ? handle.type : undefined,
      answer: (request, call) => runUnary(one, request, call),
      stream: (request, call) => runStream(many, { request }, call),
      refuse: (error, request) => refuse(refusalOf(error), request),
    };
  });
}

/** A route with what its path and query say. */
export interface MatchedRoute {
  readonly route: GuardedRoute;
  readonly request: Omit<RouteRequest, "body">;
}

/** Finds the route of a request; of another method than the path has, those that it has. */
export function matchRoute(
  routes: readonly GuardedRoute[],
  method: string,
  url: URL,
): MatchedRoute | { readonly allowed: readonly string[] } | undefined {
  const found = routes.flatMap((route) => {
    const parameters = parametersOf(route.path, url.pathname);
    return parameters ? [{ route, request: { parameters, query: url.searchParams } }] : [];
  });
  if (found.length === 0) return undefined;
  return found.find(({ route }) => route.method === method) ?? { allowed: found.map(({ route }) => route.method) };
}

function parametersOf(path: string, pathname: string): Record<string, string> | undefined {
  const wanted = path.split("/");
  const given = pathname.replace(/\/$/, "").split("/");
  if (wanted.length !== given.length) return undefined;
  const parameters: [string, string][] = [];
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? "";
    if (!part.startsWith("{")) {
      if (part !== value) return undefined;
    } else {
      const decoded = decode(value);
      if (decoded === undefined || decoded === "") return undefined;
      parameters.push([part.slice(1, -1), decoded]);
    }
  }
  return Object.fromEntries(parameters);
}

function decode(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

function pieces(stream: (request: RouteRequest, ctx: Ctx) => AsyncIterable<string>) {
  return async function* (request: RouteRequest, ctx: Ctx): AsyncGenerator<Piece> {
    for await (const text of stream(request, ctx)) yield { text };
  };
}

function unused(): never {
  throw new Error("a route either answers or streams");
}

function refusalOf(thrown: unknown): Refusal {
  const error = thrown instanceof ConnectError ? thrown : new ConnectError("internal error", Code.Internal);
  const known = error.cause instanceof DomainError ? error.cause : new DomainError("INTERNAL", "internal error");
  const status = known.reason === "MESSAGE_TOO_LARGE" ? 413 : STATUSES[known.code];
  return { status, error: known, message: error.rawMessage };
}

const STATUSES: Readonly<Record<DomainError["code"], number>> = {
  invalid_argument: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  already_exists: 409,
  failed_precondition: 400,
  aborted: 409,
  out_of_range: 400,
  resource_exhausted: 429,
  data_loss: 500,
  unavailable: 503,
  deadline_exceeded: 504,
  cancelled: 499,
  internal: 500,
};

/** How long to wait, as a header says it. */
export function retryAfter({ details }: DomainError): Record<string, string> {
  if (details.retryAfterMs === undefined) return {};
  return { "retry-after": String(Math.ceil(details.retryAfterMs / 1_000)) };
}

// Near to what Connect answers.
function refuseByJson({ status, error, message }: Refusal): RouteAnswer {
  const { code, reason, metadata, details } = error;
  const { violations } = details;
  const json = { code, message, reason, metadata, ...(violations ? { violations } : {}) };
  return { status, headers: retryAfter(error), json };
}
