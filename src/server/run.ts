import type { AccessRule } from "@tenantplane/sdk/gen/tenantplane/v1/options_pb";
import type { Principal } from "../auth/permission.ts";
import type { Clock, Ids } from "../platform/clock.ts";
import type { Log } from "../platform/log.ts";
import type { NowOrLater } from "../platform/now-or-later.ts";
import type { FindTenant } from "./access.ts";
import type { Authenticator } from "./authenticate.ts";
import { toConnectError, toDomainError } from "./errors.ts";
import type { AnyHandler, Call } from "./handlers.ts";
import type { Supervision } from "./stream.ts";

export interface ChainDeps {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly authenticator: Authenticator;
  readonly findTenant: FindTenant;
  readonly sha256: (text: string) => Uint8Array;
  readonly observe: (method: string, code: string, ms: number) => void;
  /** Records a refused attempt; the answer does not wait for it. */
  readonly onDenied: (denied: Denied) => void;
  readonly deadlineDefaultMs: number;
  readonly deadlineMaxMs: number;
  /** Aborts when the node stops. */
  readonly draining: AbortSignal;
}

export interface Denied {
  readonly principal: Principal;
  readonly method: string;
  readonly resource: string;
  readonly callId: string;
  readonly callerAddress: string;
  readonly why: string;
}

/** What is called, an RPC or a route of HTTP, with all that its calls need. */
export interface Endpoint<A extends object> {
  readonly deps: ChainDeps;
  readonly handler: AnyHandler;
  readonly name: string;
  readonly rule: AccessRule;
  readonly identify: Identify;
  /** A request's content as text; undefined where requests have no ids. */
  readonly textOf: ((request: object) => string) | undefined;
  /** Completes what the handler gives. */
  readonly complete: (given: object) => A;
  readonly onDrain: Supervision["onDrain"];
}

/** Tells who calls, where that takes more than the usual headers. */
export type Identify = (
  authenticator: Pick<Authenticator, "identify" | "identifyKey">,
  call: Call,
  request: object | undefined,
) => NowOrLater<Principal>;

/** One call under way. */
export interface Run {
  /** The call's id. The caller is told it in a header as soon as anything is kept under it: reads cost none. */
  callId(): string;
  readonly startedAt: number;
  /** Remembers who calls: a refusal is recorded under that name, whoever refuses. */
  calledBy(principal: Principal): void;
  /** Counts the call; only the first time. */
  end(code: string): void;
  fail(error: unknown): Error;
}

/** Begins a call: its time, and its end in the metrics and the log. */
export function start({ deps, name }: Pick<Endpoint<object>, "deps" | "name">, call: Call): Run {
  const startedAt = deps.clock.monotonic();
  let id: string | undefined;
  const callId = () => {
    if (id !== undefined) return id;
    const given = call.header("x-request-id") ?? "";
    id = /^[\w-]{8,64}$/.test(given) ? given : deps.ids.uuid();
    call.setHeader("x-request-id", id);
    return id;
  };
  let ended = false;
  let caller: Principal | undefined;
  const end = (code: string) => {
    if (!ended) deps.observe(name, code, deps.clock.monotonic() - startedAt);
    ended = true;
  };
  return {
    callId,
    startedAt,
    calledBy(principal) {
      caller = principal;
    },
    end,
    fail(error) {
      const known = toDomainError(error);
      end(known.code);
      if (known.code === "permission_denied" && caller) {
        const resource = known.metadata.resource ?? known.metadata.tenant ?? "";
        const callerAddress = call.peer;
        const about = { method: name, resource, callId: callId(), callerAddress, why: known.message };
        deps.onDenied({ principal: caller, ...about });
      }
      if (known.code === "internal") {
        deps.log.error("call failed", { method: name, callId: callId(), error: known.details.cause ?? known });
      } else deps.log.debug("call refused", { method: name, callId: callId(), reason: known.reason });
      return toConnectError(known, callId());
    },
  };
}
