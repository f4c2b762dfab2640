import { create, type DescMethod, type Message, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { AccessRule } from "@tenantplane/sdk/gen/tenantplane/v1/options_pb";
import { hex } from "../auth/key.ts";
import type { Principal } from "../auth/permission.ts";
import type { Ctx } from "../context.ts";
import { DomainError, invalidField } from "../errors.ts";
import { type Clock, every, type Ids } from "../platform/clock.ts";
import type { Log } from "../platform/log.ts";
import { accessRule, authorise, type FindTenant } from "./access.ts";
import type { Authenticator } from "./authenticate.ts";
import { toConnectError, toDomainError } from "./errors.ts";
import { type AnyHandler, type Call, fullName, type Mount } from "./handlers.ts";

export interface ChainDeps {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly authenticator: Authenticator;
  readonly findTenant: FindTenant;
  readonly sha256: (bytes: Uint8Array) => Uint8Array;
  readonly observe: (method: string, code: string, ms: number) => void;
  /** Records a refused attempt; the answer does not wait for it. */
  readonly onDenied: (denied: Denied) => void;
  readonly deadlineDefaultMs: number;
  readonly deadlineMaxMs: number;
}

export interface Denied {
  readonly principal: Principal;
  readonly method: string;
  readonly resource: string;
  readonly callId: string;
  readonly callerAddress: string;
  readonly why: string;
}

/** An RPC behind the chain, ready for any listener. It throws nothing but ConnectErrors. */
export interface Guarded {
  readonly method: DescMethod;
  unary(request: Message, call: Call): Promise<Message>;
  stream(request: Message, call: Call): AsyncIterable<Message>;
}

/** How often a stream's caller is checked anew: a revoked key and a suspended tenant end their streams within a second. */
const RECHECK_MS = 500;

/** Puts every RPC of the mounts behind the one chain: id, log, deadline, authenticate, authorise, handler, errors. */
export function guardAll(deps: ChainDeps, mounts: readonly Mount[]): Guarded[] {
  return mounts.flatMap(({ service, handlers }) =>
    service.methods.map((method) => {
      const handler = handlers[method.localName];
      if (!handler) throw new Error(`${fullName(method)} has no handler`);
      return guard(deps, method, handler);
    }),
  );
}

function guard(deps: ChainDeps, method: DescMethod, handler: AnyHandler): Guarded {
  const rule = accessRule(method);
  const facts = factsOf(method);
  return {
    method,
    async unary(request, call) {
      const run = start(deps, facts, call);
      try {
        const timeoutMs = Math.min(call.timeoutMs ?? deps.deadlineDefaultMs, deps.deadlineMaxMs);
        const deadline = run.startedAt + timeoutMs;
        const work = admit(deps, { rule, facts, request, call, run, deadline }).then((ctx) => handler(request, ctx));
        const response = await beforeDeadline(work as Promise<MessageInitShape<typeof method.output>>, timeoutMs);
        run.end("ok");
        return create(method.output, response);
      } catch (error) {
        throw run.fail(error);
      }
    },
    async *stream(request, call) {
      const run = start(deps, facts, call);
      try {
        // Ends the handler when its caller goes away, is refused, or has read enough.
        const over = new AbortController();
        const own = {
          ...call,
          header: call.header,
          setHeader: call.setHeader,
          signal: AbortSignal.any([call.signal, over.signal]),
        };
        const deadline = Number.POSITIVE_INFINITY;
        const ctx = await admit(deps, { rule, facts, request, call: own, run, deadline });
        const messages = handler(request, ctx) as AsyncIterable<MessageInitShape<typeof method.output>>;
        for await (const message of whileAllowed(deps, own, messages, over)) yield create(method.output, message);
        run.end("ok");
      } catch (error) {
        throw run.fail(error);
      }
    },
  };
}

interface Facts {
  readonly method: DescMethod;
  readonly name: string;
  readonly hasRequestId: boolean;
}

function factsOf(method: DescMethod): Facts {
  return { method, name: fullName(method), hasRequestId: method.input.fields.some((f) => f.name === "request_id") };
}

interface Run {
  readonly callId: string;
  readonly startedAt: number;
  end(code: string): void;
  fail(error: unknown): Error;
}

function start(deps: ChainDeps, facts: Facts, call: Call): Run {
  const given = call.header("x-request-id") ?? "";
  const callId = /^[\w-]{8,64}$/.test(given) ? given : deps.ids.uuid();
  const startedAt = deps.clock.monotonic();
  call.setHeader("x-request-id", callId);
  const end = (code: string) => deps.observe(facts.name, code, deps.clock.monotonic() - startedAt);
  return {
    callId,
    startedAt,
    end,
    fail(error) {
      const known = toDomainError(error);
      end(known.code);
      if (known.code === "internal") {
        deps.log.error("call failed", { method: facts.name, callId, error: known.details.cause ?? known });
      } else deps.log.debug("call refused", { method: facts.name, callId, reason: known.reason });
      return toConnectError(known, callId);
    },
  };
}

async function admit(
  deps: ChainDeps,
  input: { rule: AccessRule; facts: Facts; request: Message; call: Call; run: Run; deadline: number },
): Promise<Ctx> {
  const { rule, facts, request, call, run, deadline } = input;
  const principal = await deps.authenticator.authenticate((name) => call.header(name));
  await authorise(rule, principal, request, deps.findTenant).catch((error: unknown) => {
    if (error instanceof DomainError && error.reason === "PERMISSION_DENIED") {
      const resource = error.metadata.resource ?? "";
      const { callId } = run;
      deps.onDenied({ principal, method: facts.name, resource, callId, callerAddress: call.peer, why: error.message });
    }
    throw error;
  });
  const fields = request as Message & { requestId?: string; validateOnly?: boolean; reason?: string };
  return {
    principal,
    method: facts.name,
    callId: run.callId,
    idempotency:
      facts.hasRequestId && fields.requestId ? idempotency(deps, facts, request, fields.requestId) : undefined,
    validateOnly: fields.validateOnly ?? false,
    reason: reasonOf(fields.reason),
    callerAddress: call.peer,
    deadline,
    get signal() {
      return call.signal;
    },
  };
}

function idempotency(deps: ChainDeps, facts: Facts, request: Message, requestId: string): Ctx["idempotency"] {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(requestId))
    throw invalidField("request_id", "must be a UUID");
  return { requestId: requestId.toLowerCase(), hash: hex(deps.sha256(toBinary(facts.method.input, request))) };
}

function reasonOf(reason: string | undefined): string {
  if (reason !== undefined && reason.length > REASON_MAX) {
    throw invalidField("reason", `must have at most ${REASON_MAX} characters`);
  }
  return reason ?? "";
}

/** A sentence or three. */
const REASON_MAX = 500;

function beforeDeadline<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = () => reject(new DomainError("DEADLINE_EXCEEDED", "the deadline has passed"));
    const timer = setTimeout(late, timeoutMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

// Checks a stream's caller again and again, and ends the stream with the reason once it is refused.
async function* whileAllowed<T>(
  deps: ChainDeps,
  call: Call,
  messages: AsyncIterable<T>,
  over: AbortController,
): AsyncGenerator<T> {
  let refuse: (error: unknown) => void = () => {};
  const refused = new Promise<never>((_, reject) => {
    refuse = reject;
  });
  refused.catch(() => {});
  const authenticate = async () => void (await deps.authenticator.authenticate((name) => call.header(name)));
  const stop = every(RECHECK_MS, authenticate, (error) => {
    // A database that is away for a moment refuses nobody.
    if (toDomainError(error).code !== "unavailable") refuse(error);
  });
  const iterator = messages[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), refused]);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    stop();
    over.abort();
    await iterator.return?.();
  }
}
