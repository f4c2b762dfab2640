import { timingSafeEqual } from "node:crypto";
import { AccessRule_Target } from "@tenantplane/sdk/gen/tenantplane/v1/options_pb";
import { TENANT_ID } from "../aip/name.ts";
import { allows, type Principal } from "../auth/permission.ts";
import type { Ctx } from "../context.ts";
import { DomainError, permissionDenied } from "../errors.ts";
import { versionFor } from "../flag/viewer.ts";
import { tenantTarget } from "../server/access.ts";
import type { Route, RouteRequest } from "../server/route.ts";
import type { Identify } from "../server/run.ts";
import { tenantName } from "../tenant/tenant.ts";
import { drainError, type FlagdDeps, identifyBySelector, requireTenant } from "./flagd-caller-rpc.ts";
import { changesFor, toldNow } from "./flagd-events-rpc.ts";
import { EVALUATE } from "./flagd-resolve-rpc.ts";

interface EventsDeps extends FlagdDeps {
  readonly sign: (text: string) => string;
}

const PATH = "/ofrep/v1/events";

/**
 * Where browsers hear that they should ask anew. They can't send headers there, so the address carries a token that is good
 * for nothing else, ends with its key, and is the same every time: clients keep it, and go on with a stream whose address
 * does not change. Callers with other credentials than keys are offered none.
 */
export function streamsFor({ sign }: EventsDeps, { actor }: Principal, tenantId: string) {
  if (!actor.startsWith("apiKeys/")) return {};
  const requestUri = `${PATH}?token=${tokenOf(sign, actor.slice("apiKeys/".length), tenantId)}`;
  return {
    eventStreams: [{ type: "sse", endpoint: { requestUri }, inactivityDelaySec: INACTIVITY_S }],
  };
}

/** As the protocol has it when nothing is said. */
const INACTIVITY_S = 120;

/** The stream itself, which tells no more than that something changed. */
export function eventsRoute(deps: EventsDeps): Route {
  return {
    name: "ofrep.v1/StreamEvents",
    method: "GET",
    path: PATH,
    rule: { permission: EVALUATE, target: AccessRule_Target.CALLER },
    identify: identifyByToken(deps),
    handle: { type: "text/event-stream", stream: (request, ctx) => events(deps, ctx, request) },
  };
}

async function* events(deps: EventsDeps, ctx: Ctx, request: RouteRequest): AsyncGenerator<string> {
  const tenantId = await tenantOfStream(deps, ctx, request);
  const version = () => versionFor(deps.flags, tenantId);
  if (deps.draining.aborted) throw drainError();
  const changes = changesFor(deps, ctx, toldNow(deps, tenantId));
  // At once, because something may have changed between the caller's answer and now; its tag makes asking anew cheap.
  if (ctx.header("last-event-id") === version()) yield ": nothing new\n\n";
  else yield refetch(version());
  for await (const change of changes) yield change === "nothing" ? ": nothing new\n\n" : refetch(version());
  throw drainError();
}

function refetch(version: string): string {
  return `id: ${version}\nevent: message\ndata: ${JSON.stringify({ type: "refetchEvaluation" })}\n\n`;
}

async function tenantOfStream(deps: EventsDeps, ctx: Ctx, { query }: RouteRequest): Promise<string> {
  const token = openToken(deps.sign, query.get("token"));
  if (!token) return (await requireTenant(deps, ctx, EVALUATE)).id;
  const target = await tenantTarget(token.tenantId, ctx.principal, deps.findTenant);
  if (!allows(ctx.principal, EVALUATE, target)) throw permissionDenied(EVALUATE, tenantName(token.tenantId));
  return token.tenantId;
}

function identifyByToken({ sign }: EventsDeps): Identify {
  return (authenticator, call, request) => {
    const text = (request as RouteRequest | undefined)?.query.get("token") ?? null;
    if (text === null) return identifyBySelector(authenticator, call, undefined);
    const token = openToken(sign, text);
    if (!token) throw new DomainError("CREDENTIALS_INVALID", "the token is none of this server");
    return authenticator.identifyKey(token.keyId);
  };
}

function tokenOf(sign: (text: string) => string, keyId: string, tenantId: string): string {
  const content = `${keyId}.${tenantId}`;
  return `${content}.${sign(`events of ${content}`)}`;
}

function openToken(
  sign: (text: string) => string,
  token: string | null,
): { keyId: string; tenantId: string } | undefined {
  const [keyId = "", tenantId = ""] = token?.split(".") ?? [];
  if (!/^[a-z0-9]{16}$/.test(keyId) || !TENANT_ID.test(tenantId)) return undefined;
  const [given, right] = [Buffer.from(token ?? ""), Buffer.from(tokenOf(sign, keyId, tenantId))];
  return given.length === right.length && timingSafeEqual(given, right) ? { keyId, tenantId } : undefined;
}
