import { create, type DescMethod, fromBinary, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import type { Principal } from "../auth/permission.ts";
import { DomainError } from "../errors.ts";
import { andThen, type NowOrLater } from "../platform/now-or-later.ts";
import { accessRule, authorise } from "./access.ts";
import { CallContext, type Caller } from "./call-context.ts";
import { type Call, fullName, Malformed, type Mount } from "./handlers.ts";
import { requestText } from "./request-text.ts";
import { type ChainDeps, type Endpoint, type Identify, type Run, start } from "./run.ts";
import { supervise } from "./stream.ts";

/** An RPC behind the chain, ready for any listener. It throws nothing but ConnectErrors. */
export interface Guarded {
  readonly method: DescMethod;
  /** Reads a request of its bytes. */
  read(bytes: Uint8Array): Message;
  /** Answers at once when all is known that it takes. */
  unary(request: Message, call: Call): NowOrLater<Message>;
  /** A server stream. */
  stream(request: Message, call: Call): AsyncIterable<Message>;
  /** A client's stream or a bidirectional one; to the former there is one answer. */
  exchange(requests: AsyncIterable<Message>, call: Call): AsyncIterable<Message>;
}

/** Puts every RPC of the mounts behind the one chain: id, log, deadline, authenticate, authorise, handler, errors. */
export function guardAll(deps: ChainDeps, mounts: readonly Mount[]): Guarded[] {
  return mounts.flatMap(({ service, handlers, readers, identify }) =>
    service.methods.map((method) => {
      const handler = handlers[method.localName];
      if (!handler) throw new Error(`${fullName(method)} has no handler`);
      const rpc: Endpoint<Message> = {
        deps,
        handler,
        name: fullName(method),
        rule: accessRule(method),
        identify: identify?.(method) ?? byHeaders,
        textOf: method.input.fields.some((field) => field.name === "request_id")
          ? (request) => requestText(method.input, request as Message)
          : undefined,
        complete: (given) => create(method.output, given as MessageInitShape<typeof method.output>),
        onDrain: method.methodKind === "bidi_streaming" ? "finish" : "break off",
      };
      return {
        method,
        read: readers[method.localName] ?? ((bytes: Uint8Array) => fromBinary(method.input, bytes)),
        unary: (request: Message, call: Call) => runUnary(rpc, request, call),
        stream: (request: Message, call: Call) => runStream(rpc, { request }, call),
        exchange: (requests: AsyncIterable<Message>, call: Call) => runStream(rpc, { requests }, call),
      };
    }),
  );
}

/** Runs a call with one answer. Throws nothing but ConnectErrors. */
export function runUnary<A extends object>(rpc: Endpoint<A>, request: object, call: Call): NowOrLater<A> {
  const { deps, handler } = rpc;
  const run = start(rpc, call);
  try {
    const timeoutMs = Math.min(call.timeoutMs ?? deps.deadlineDefaultMs, deps.deadlineMaxMs);
    const ending = createEnding(call);
    const deadline = run.startedAt + timeoutMs;
    const answer = andThen(authenticate(rpc, run, call, request), (principal) => {
      requireReadable(request);
      const caller = { principal };
      const of = { caller, request, deadline, signal: ending.signal };
      return andThen(permit(rpc, caller, request), () => handler(request, new CallContext(rpc, run, call, of)));
    });
    if (!(answer instanceof Promise)) return answered(rpc, run, answer);
    return answerLater(rpc, run, beforeDeadline(answer, timeoutMs, ending.expire));
  } catch (error) {
    throw run.fail(error);
  }
}

async function answerLater<A extends object>(rpc: Endpoint<A>, run: Run, answer: Promise<object>): Promise<A> {
  try {
    return answered(rpc, run, await answer);
  } catch (error) {
    throw run.fail(error);
  }
}

function answered<A extends object>({ complete }: Endpoint<A>, run: Run, answer: object): A {
  const completed = complete(answer);
  run.end("ok");
  return completed;
}

/**
 * Runs a stream of any kind. A rule that names a field of the request asks for the permission on what each request of a
 * client's stream names, before the handler sees it; a rule that names none asks once, before anything is read. Both ask
 * again as long as the stream lasts. Throws nothing but ConnectErrors.
 */
export async function* runStream<A extends object>(
  rpc: Endpoint<A>,
  input: { readonly request?: object; readonly requests?: AsyncIterable<Message> },
  call: Call,
): AsyncGenerator<A> {
  const { deps, handler, rule } = rpc;
  const run = start(rpc, call);
  const { request } = input;
  const each = input.requests !== undefined && rule.field !== "";
  try {
    const caller = { principal: await authenticate(rpc, run, call, request) };
    requireReadable(request);
    if (!each) await permit(rpc, caller, request);
    const supervision = {
      requests: each ? permitted(rpc, caller, input.requests) : input.requests,
      caller: call.signal(),
      draining: deps.draining,
      onDrain: rpc.onDrain,
      async recheck() {
        caller.principal = await authenticate(rpc, run, call, request);
        if (!each) await permit(rpc, caller, request);
      },
    };
    const stream = supervise(supervision, (requests, signal) => {
      const of = { caller, request, deadline: Number.POSITIVE_INFINITY, signal: () => signal };
      const answer = handler(request ?? requests, new CallContext(rpc, run, call, of));
      return Symbol.asyncIterator in answer ? answer : once(answer);
    });
    try {
      for await (const answer of stream.answers) yield rpc.complete(answer);
    } finally {
      stream.end();
    }
    stream.requireWhole();
    run.end("ok");
  } catch (error) {
    throw run.fail(error);
  } finally {
    run.end("cancelled");
  }
}

async function* permitted(
  rpc: Endpoint<object>,
  caller: Caller,
  requests: AsyncIterable<Message>,
): AsyncGenerator<Message> {
  for await (const request of requests) {
    await permit(rpc, caller, request);
    yield request;
  }
}

async function* once<T>(answer: NowOrLater<T>): AsyncGenerator<T> {
  yield await answer;
}

/** As most callers are known: by a key or a token in a header. */
export const byHeaders: Identify = (authenticator, call) => authenticator.identify(call.header);

function authenticate(
  { deps, identify }: Endpoint<object>,
  run: Run,
  call: Call,
  request: object | undefined,
): NowOrLater<Principal> {
  return andThen(identify(deps.authenticator, call, request), (caller) => {
    run.calledBy(caller);
    return deps.authenticator.requireActive(caller);
  });
}

function requireReadable(request: object | undefined): void {
  if (request instanceof Malformed) {
    throw new DomainError("MESSAGE_MALFORMED", "the request can't be read", {}, { cause: request.cause });
  }
}

function permit({ deps, rule }: Endpoint<object>, caller: Caller, request: object | undefined): NowOrLater<void> {
  return authorise(rule, caller.principal, request, deps.findTenant);
}

/** What ends a unary call before its answer: the caller's leave, and its deadline. Made when it is first asked for. */
function createEnding(call: Call) {
  let expiry: AbortController | undefined;
  let signal: AbortSignal | undefined;
  return {
    signal() {
      expiry ??= new AbortController();
      signal ??= AbortSignal.any([call.signal(), expiry.signal]);
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
    const done = () => clearTimeout(timer);
    work.then(resolve, reject).then(done);
  });
}
