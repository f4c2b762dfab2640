import type { Principal } from "./auth/permission.ts";
import type { RowScope } from "./platform/postgres.ts";

/** What a verb knows of its call. */
export interface Ctx {
  readonly principal: Principal;
  /** The full RPC name or job, as the audit log keeps it. */
  readonly method: string;
  /** The id of this call, in its log lines and audit rows, and then in its answer too. */
  readonly callId: string;
  /** Makes a retried write safe: the caller's request id and the hash of the whole request. */
  readonly idempotency: { readonly requestId: string; readonly hash: string } | undefined;
  /** Do everything but the commit. */
  readonly validateOnly: boolean;
  /** Why, as the caller says; for the audit log. */
  readonly reason: string;
  readonly callerAddress: string;
  /** When the call must be over, on the monotonic clock; Infinity for streams and jobs. */
  readonly deadline: number;
  readonly signal: AbortSignal;
  /** A header of the call, for the protocols of others, which say there what ours say in messages; ":authority" is the host it was sent to. */
  readonly header: (name: string) => string | undefined;
  /** Sets a header of an HTTP answer; undefined for callers on the gRPC port, whose answers say it all in the message. */
  readonly setHttpHeader: ((name: string, value: string) => void) | undefined;
}

/** The same call with other facts. Not by a spread, which loses what a call's context works out when it is asked. */
export function withFacts(ctx: Ctx, facts: Partial<Ctx>): Ctx {
  return Object.create(ctx, Object.getOwnPropertyDescriptors(facts));
}

/** What the database shows to this caller: the sum of what its bindings reach. */
export function rowScope(principal: Principal): RowScope {
  const scopes = principal.bindings.map((binding) => binding.scope);
  return {
    platform: scopes.some((scope) => scope.kind === "platform"),
    tenants: scopes.flatMap((scope) => (scope.kind === "tenant" ? [scope.tenantUid] : [])),
    integrators: scopes.flatMap((scope) => (scope.kind === "integrator" ? [scope.integratorUid] : [])),
    actor: principal.actor,
  };
}

/** The context of the node's own work, which may do everything; `actor` and `method` are what the audit log keeps. */
export function systemCtx(actor: string, method: string): Ctx {
  return {
    principal: { actor, bindings: [{ role: "platform.admin", scope: { kind: "platform" } }] },
    method,
    callId: "",
    idempotency: undefined,
    validateOnly: false,
    reason: "",
    callerAddress: "",
    deadline: Number.POSITIVE_INFINITY,
    signal: new AbortController().signal,
    header: () => undefined,
    setHttpHeader: undefined,
  };
}
