import { create, type DescMethod, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { hex } from "../auth/key.ts";
import type { Principal } from "../auth/permission.ts";
import type { Ctx } from "../context.ts";
import { DomainError, invalidField } from "../errors.ts";
import { accessRule, authorise } from "./access.ts";
import { type Call, fullName, Malformed, type Mount } from "./handlers.ts";
import { requestText } from "./request-text.ts";
import { type ChainDeps, type Rpc, type Run, start } from "./run.ts";
import { supervise } from "./stream.ts";

/** An RPC behind the chain, ready for any listener. It throws nothing but ConnectErrors. */
export interface Guarded {
  readonly method: DescMethod;
  unary(request: Message, call: Call): Promise<Message>;
  /** A server stream. */
  stream(request: Message, call: Call): AsyncIterable<Message>;
  /** A client's stream or a bidirectional one; to the former there is one answer. */
  exchange(requests: AsyncIterable<Message>, call: Call): AsyncIterable<Message>;
}

/** Puts every RPC of the mounts behind the one chain: id, log, deadline, authenticate, authorise, handler, errors. */
export function guardAll(deps: ChainDeps, mounts: readonly Mount[]): Guarded[] {
  return mounts.flatMap(({ service, handlers }) =>
    service.methods.map((method) => {
      const handler = handlers[method.localName];
      if (!handler) throw new Error(`${fullName(method)} has no handler`);
      const rpc = {
        deps,
        method,
        handler,
        name: fullName(method),
        rule: accessRule(method),
        hasRequestId: method.input.fields.some((field) => field.name === "request_id"),
      };
      return {
        method,
        unary: (request: Message, call: Call) => runUnary(rpc, request, call),
        stream: (request: Message, call: Call) => runStream(rpc, { request }, call),
        exchange: (requests: AsyncIterable<Message>, call: Call) => runStream(rpc, { requests }, call),
      };
    }),
  );
}

async function runUnary(rpc: Rpc, request: Message, call: Call): Promise<Message> {
  const { deps, method, handler } = rpc;
  const run = start(rpc, call);
  try {
    const timeoutMs = Math.min(call.timeoutMs ?? deps.deadlineDefaultMs, deps.deadlineMaxMs);
    const ending = createEnding(call);
    const work = async () => {
      const caller = { principal: await authenticate(rpc, run, call) };
      requireReadable(request);
      await permit(rpc, caller, request);
      const of = { caller, request, deadline: run.startedAt + timeoutMs, signal: ending.signal };
      return handler(request, contextOf(rpc, run, call, of));
    };
    const response = await beforeDeadline(work(), timeoutMs, ending.expire);
    run.end("ok");
    return create(method.output, response as MessageInitShape<typeof method.output>);
  } catch (error) {
    throw run.fail(error);
  }
}

/**
 * A rule that names a field of the request asks for the permission on what each request of a client's stream names,
 * before the handler sees it; a rule that names none asks once, before anything is read. Both ask again as long as the
 * stream lasts.
 */
async function* runStream(
  rpc: Rpc,
  input: { readonly request?: Message; readonly requests?: AsyncIterable<Message> },
  call: Call,
): AsyncGenerator<Message> {
  const { deps, method, handler, rule } = rpc;
  const run = start(rpc, call);
  const { request } = input;
  const each = input.requests !== undefined && rule.field !== "";
  try {
    const caller = { principal: await authenticate(rpc, run, call) };
    requireReadable(request);
    if (!each) await permit(rpc, caller, request);
    const supervision = {
      requests: each ? permitted(rpc, caller, input.requests) : input.requests,
      caller: call.signal,
      draining: deps.draining,
      onDrain: method.methodKind === "bidi_streaming" ? ("finish" as const) : ("break off" as const),
      async recheck() {
        caller.principal = await authenticate(rpc, run, call);
        if (!each) await permit(rpc, caller, request);
      },
    };
    const answers = supervise(supervision, (requests, signal) => {
      const of = { caller, request, deadline: Number.POSITIVE_INFINITY, signal: () => signal };
      const ctx = contextOf(rpc, run, call, of);
      const answer = handler(request ?? requests, ctx);
      return Symbol.asyncIterator in answer ? answer : once(answer);
    });
    for await (const answer of answers) yield create(method.output, answer as MessageInitShape<typeof method.output>);
    run.end("ok");
  } catch (error) {
    throw run.fail(error);
  } finally {
    run.end("cancelled");
  }
}

async function* permitted(rpc: Rpc, caller: Caller, requests: AsyncIterable<Message>): AsyncGenerator<Message> {
  for await (const request of requests) {
    await permit(rpc, caller, request);
    yield request;
  }
}

async function* once<T>(answer: Promise<T>): AsyncGenerator<T> {
  yield await answer;
}

/** Who calls, as last authenticated. */
interface Caller {
  readonly principal: Principal;
}

async function authenticate({ deps }: Rpc, run: Run, call: Call): Promise<Principal> {
  const caller = await deps.authenticator.identify((name) => call.header(name));
  run.calledBy(caller);
  return deps.authenticator.requireActive(caller);
}

function requireReadable(request: Message | undefined): void {
  if (request instanceof Malformed) {
    throw new DomainError("MESSAGE_MALFORMED", "the request can't be read", {}, { cause: request.cause });
  }
}

function permit({ deps, rule }: Rpc, caller: Caller, request: Message | undefined): Promise<void> {
  return authorise(rule, caller.principal, request, deps.findTenant);
}

function contextOf(
  rpc: Rpc,
  run: Run,
  call: Call,
  of: { caller: Caller; request: Message | undefined; deadline: number; signal: () => AbortSignal },
): Ctx {
  const { caller, request, deadline } = of;
  const fields: (Message & { requestId?: string; validateOnly?: boolean; reason?: string }) | undefined = request;
  return {
    get principal() {
      return caller.principal;
    },
    method: rpc.name,
    callId: run.callId,
    idempotency: request && rpc.hasRequestId ? idempotency(rpc, request) : undefined,
    validateOnly: fields?.validateOnly ?? false,
    reason: reasonOf(fields?.reason),
    callerAddress: call.peer,
    deadline,
    get signal() {
      return of.signal();
    },
    setHttpHeader: call.isHttp ? call.setHeader : undefined,
  };
}

function idempotency({ deps, method }: Rpc, request: Message): Ctx["idempotency"] {
  const { requestId = "" } = request as Message & { requestId?: string };
  if (requestId === "") return undefined;
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(requestId))
    throw invalidField("request_id", "must be a UUID");
  let hash: string | undefined;
  return {
    requestId: requestId.toLowerCase(),
    // Not all need it, and it costs more than the rest of the chain.
    get hash() {
      hash ??= hex(deps.sha256(requestText(method.input, request)));
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

/** What ends a unary call before its answer: the caller's leave, and its deadline. Made when it is first asked for. */
function createEnding(call: Call) {
  let expiry: AbortController | undefined;
  let signal: AbortSignal | undefined;
  return {
    signal() {
      expiry ??= new AbortController();
      signal ??= AbortSignal.any([call.signal, expiry.signal]);
      return signal;
    },
    expire: (error: DomainError) => expiry?.abort(error),
  };
}

function beforeDeadline<T>(work: Promise<T>, timeoutMs: number, expire: (error: DomainError) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = () => {
      const error = new DomainError("DEADLINE_EXCEEDED", "the deadline has passed");
      expire(error);
      reject(error);
    };
    const timer = setTimeout(late, timeoutMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
