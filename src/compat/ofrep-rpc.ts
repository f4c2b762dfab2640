import type { EvaluationContext, JsonObject } from "@tenantplane/sdk/evaluate";
import { AccessRule_Target } from "@tenantplane/sdk/gen/tenantplane/v1/options_pb";
import { hex } from "../auth/key.ts";
import type { Ctx } from "../context.ts";
import { DomainError } from "../errors.ts";
import { viewFor } from "../flag/viewer.ts";
import type { Route, RouteAnswer, RouteRequest } from "../server/route.ts";
import { canonicalJson, isDeeperThan } from "./canonical-json.ts";
import { type FlagdDeps, identifyBySelector, requireTenant } from "./flagd-caller-rpc.ts";
import { EVALUATE } from "./flagd-resolve-rpc.ts";
import { refuse, statusOf, toResult } from "./ofrep-answer-rpc.ts";
import { eventsRoute, streamsFor } from "./ofrep-events-rpc.ts";

export interface OfrepDeps extends FlagdDeps {
  readonly sha256: (text: string) => Uint8Array;
  /** Signs a text with the database's own key. */
  readonly sign: (text: string) => string;
}

/** The OpenFeature Remote Evaluation Protocol, version 0.3.0. */
export function ofrepRoutes(deps: OfrepDeps): Route[] {
  const common = {
    method: "POST" as const,
    rule: { permission: EVALUATE, target: AccessRule_Target.CALLER },
    identify: identifyBySelector,
    refuse,
  };
  return [
    {
      ...common,
      name: "ofrep.v1/EvaluateFlag",
      path: "/ofrep/v1/evaluate/flags/{key}",
      handle: { answer: (request, ctx) => evaluateOne(deps, ctx, request) },
    },
    {
      ...common,
      name: "ofrep.v1/EvaluateFlags",
      path: "/ofrep/v1/evaluate/flags",
      handle: { answer: (request, ctx) => evaluateAll(deps, ctx, request) },
    },
    eventsRoute(deps),
  ];
}

async function evaluateOne(deps: OfrepDeps, ctx: Ctx, { parameters, body }: RouteRequest): Promise<RouteAnswer> {
  const { key = "" } = parameters;
  const facts = await requireTenant(deps, ctx, EVALUATE);
  const context = parseContext(await body());
  const now = deps.clock.now();
  const evaluation = viewFor(deps.flags, ctx.principal, facts).evaluate(key, context, now);
  if (evaluation.errorCode === undefined) deps.usage.add(key, evaluation.variant, now);
  return { status: statusOf(evaluation), json: toResult(key, evaluation, facts.id) };
}

async function evaluateAll(deps: OfrepDeps, ctx: Ctx, { body }: RouteRequest): Promise<RouteAnswer> {
  const facts = await requireTenant(deps, ctx, EVALUATE);
  const context = parseContext(await body());
  const view = viewFor(deps.flags, ctx.principal, facts);
  const now = deps.clock.now();
  const flags = view.keys().map((key) => toResult(key, view.evaluate(key, context, now), facts.id));
  // Over the results, since those of a ramp change with time alone; over the context, though other results would tell;
  // and over the caller, whose event streams clients keep with the tag.
  const content = [facts.id, ctx.principal.actor, canonicalJson(context), JSON.stringify(flags)];
  const etag = `"${hex(deps.sha256(JSON.stringify(content))).slice(0, ETAG_CHARACTERS)}"`;
  const headers = { etag, "cache-control": "private, no-cache" };
  if (isKnown(ctx.header("if-none-match") ?? "", etag)) return { status: 304, headers };
  return {
    status: 200,
    headers,
    json: { flags, metadata: { scope: facts.id }, ...streamsFor(deps, ctx.principal, facts.id) },
  };
}

/** 128 bits. */
const ETAG_CHARACTERS = 32;

// What a cache on the way has compressed, it may have marked as weak.
function isKnown(header: string, etag: string): boolean {
  return header.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag);
}

/** As deep as a message of protobuf may be. */
const CONTEXT_DEPTH_MAX = 100;

function parseContext(body: Buffer): EvaluationContext {
  const { context = {} } = parseBody(body);
  if (!isObject(context)) throw malformed("context must be an object");
  if (isDeeperThan(CONTEXT_DEPTH_MAX, context)) {
    throw malformed(`context must not be deeper than ${CONTEXT_DEPTH_MAX}`);
  }
  return context;
}

function parseBody(body: Buffer): JsonObject {
  if (body.length === 0) return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString());
  } catch {
    throw malformed("the body must be JSON");
  }
  if (!isObject(parsed)) throw malformed("the body must be an object");
  return parsed;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function malformed(why: string): DomainError {
  return new DomainError("MESSAGE_MALFORMED", why);
}
