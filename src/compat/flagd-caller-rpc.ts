import type { TenantFacts } from "@tenantplane/sdk/evaluate";
import { allows, type Principal } from "../auth/permission.ts";
import type { Ctx } from "../context.ts";
import { DomainError, invalidField, permissionDenied } from "../errors.ts";
import type { FlagRpcDeps } from "../flag/base-rpc.ts";
import { factsFor } from "../flag/evaluate-rpc.ts";
import { type FindTenant, tenantTarget } from "../server/access.ts";
import type { Call } from "../server/handlers.ts";
import type { Identify } from "../server/run.ts";
import { tenantName } from "../tenant/tenant.ts";
import { parseSelector, parseTenant, type Selector, tenantOfHost } from "./selector.ts";

/** What all protocols of others about flags work with. */
export interface FlagdDeps extends FlagRpcDeps {
  readonly findTenant: FindTenant;
  /** Aborts when the node stops. */
  readonly draining: AbortSignal;
  /** From 0 up to 1. */
  readonly random: () => number;
}

/** Where a protocol may say who asks and for whom, beside the usual headers. */
const SELECTOR_HEADER = "flagd-selector";
const TENANT_HEADER = "x-tenantplane-tenant";

/**
 * Tells who calls by the usual headers, or else by the key in a selector: flagd's providers can send nothing else. The
 * selector of a header goes before that of the request.
 */
export const identifyBySelector: Identify = (authenticator, call, request) => {
  if (call.header("authorization") !== undefined || call.header("x-api-key") !== undefined) {
    return authenticator.identify(call.header);
  }
  const { credential } = selectorOf(call.header, request);
  return authenticator.identify((name) => (name === "x-api-key" ? credential : undefined));
};

/** As `identifyBySelector`; but whoever brings no credentials at all is nobody, who may do nothing. */
export const identifyOrNobody: Identify = (authenticator, call, request) =>
  isAnonymous(call, request) ? NOBODY : identifyBySelector(authenticator, call, request);

const NOBODY: Principal = { actor: "nobody", bindings: [] };

function isAnonymous({ header }: Pick<Call, "header">, request: object | undefined): boolean {
  return (
    header("authorization") === undefined &&
    header("x-api-key") === undefined &&
    selectorOf(header, request).credential === undefined
  );
}

/** What the selector of a call says. Throws INVALID_FIELDS. */
export function selectorOf(header: (name: string) => string | undefined, request?: object): Selector {
  const { selector = "" } = (request ?? {}) as { selector?: string };
  return parseSelector(header(SELECTOR_HEADER) ?? selector);
}

/**
 * The tenant that a call is for: the one that its selector, the header x-tenantplane-tenant or the virtual host names, in
 * this order; or the one that the caller belongs to. Undefined when nothing tells. Throws PERMISSION_DENIED.
 */
export async function tenantOf(
  deps: Pick<FlagdDeps, "findTenant" | "flags">,
  ctx: Pick<Ctx, "principal" | "header">,
  permission: string,
  request?: object,
): Promise<string | undefined> {
  const may = async (tenantId: string) =>
    allows(ctx.principal, permission, await tenantTarget(tenantId, ctx.principal, deps.findTenant));
  const named = selectorOf(ctx.header, request).tenantId ?? headerTenant(ctx) ?? ownTenant(ctx.principal);
  if (named !== undefined) {
    if (!(await may(named))) throw permissionDenied(permission, tenantName(named));
    return named;
  }
  // A host is not always a tenant's; whoever may not know is told the same as if it were none.
  const host = tenantOfHost(ctx.header(":authority") ?? "");
  return host !== undefined && deps.flags.replica.facts(host) && (await may(host)) ? host : undefined;
}

/** What is known of the tenant that a call is for. Throws INVALID_FIELDS when nothing names it, and RESOURCE_NOT_FOUND. */
export async function requireTenant(
  deps: FlagdDeps,
  ctx: Ctx,
  permission: string,
  request?: object,
): Promise<TenantFacts> {
  const tenantId = await tenantOf(deps, ctx, permission, request);
  if (tenantId === undefined) throw invalidField("selector", `must name the tenant; or send ${TENANT_HEADER}`);
  return factsFor(deps, ctx, tenantId);
}

/** Says that this node stops: retried, another one answers. */
export function drainError(): DomainError {
  return new DomainError("SHUTTING_DOWN", "the server is shutting down; open the stream anew");
}

function headerTenant({ header }: Pick<Ctx, "header">): string | undefined {
  const text = header(TENANT_HEADER);
  return text === undefined ? undefined : parseTenant(text, TENANT_HEADER);
}

function ownTenant({ bindings }: Principal): string | undefined {
  const own = new Set(bindings.map(({ scope }) => (scope.kind === "tenant" ? scope.tenantId : undefined)));
  return own.size === 1 ? [...own][0] : undefined;
}
