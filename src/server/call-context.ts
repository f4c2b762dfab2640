import { hex } from "../auth/key.ts";
import type { Principal } from "../auth/permission.ts";
import type { Ctx } from "../context.ts";
import { invalidField } from "../errors.ts";
import type { Call } from "./handlers.ts";
import type { Endpoint, Run } from "./run.ts";

/** Who calls, as last authenticated. */
export interface Caller {
  readonly principal: Principal;
}

/**
 * What a handler is told of its call. A class, since every call makes one, and an object with getters of its own costs more
 * than the rest of the chain. Throws INVALID_FIELDS for a request id or a reason that is none.
 */
export class CallContext implements Ctx {
  readonly method: string;
  readonly idempotency: Ctx["idempotency"];
  readonly validateOnly: boolean;
  readonly reason: string;
  readonly callerAddress: string;
  readonly deadline: number;
  readonly header: Ctx["header"];
  readonly setHttpHeader: Ctx["setHttpHeader"];
  private readonly run: Run;
  private readonly makeSignal: () => AbortSignal;
  private readonly caller: Caller;

  constructor(
    rpc: Endpoint<object>,
    run: Run,
    call: Call,
    of: {
      readonly caller: Caller;
      readonly request: object | undefined;
      readonly deadline: number;
      readonly signal: () => AbortSignal;
    },
  ) {
    const { caller, request, deadline } = of;
    const fields: CommonFields | undefined = request;
    this.method = rpc.name;
    this.idempotency = request && idempotency(rpc, request);
    this.validateOnly = fields?.validateOnly ?? false;
    this.reason = reasonOf(fields?.reason);
    this.callerAddress = call.peer;
    this.deadline = deadline;
    this.header = call.header;
    this.setHttpHeader = call.isHttp ? call.setHeader : undefined;
    this.run = run;
    this.makeSignal = of.signal;
    this.caller = caller;
  }

  get principal(): Principal {
    return this.caller.principal;
  }

  get callId(): string {
    return this.run.callId();
  }

  get signal(): AbortSignal {
    return this.makeSignal();
  }
}

/** The fields that any request may have. */
type CommonFields = object & { requestId?: string; validateOnly?: boolean; reason?: string };

function idempotency({ deps, textOf }: Endpoint<object>, request: object): Ctx["idempotency"] {
  const { requestId = "" }: CommonFields = request;
  if (requestId === "" || !textOf) return undefined;
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(requestId))
    throw invalidField("request_id", "must be a UUID");
  let hash: string | undefined;
  return {
    requestId: requestId.toLowerCase(),
    // Not all need it, and it costs more than the rest of the chain.
    get hash() {
      hash ??= hex(deps.sha256(textOf(request)));
      return hash;
    },
  };
}

function reasonOf(reason: string | undefined): string {
  if (reason !== undefined && reason.length > REASON_MAX) {
    throw invalidField("reason", `must have at most ${REASON_MAX} characters`);
  }
  return reason ?? "";
}

/** A sentence or three. */
const REASON_MAX = 500;
