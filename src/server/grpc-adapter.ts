import { fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import * as grpc from "@grpc/grpc-js";
import { bytesOf } from "@tenantplane/sdk/wire";
import { systemClock } from "../platform/clock.ts";
import type { NowOrLater } from "../platform/now-or-later.ts";
import type { Guarded } from "./chain.ts";
import { toServiceError } from "./grpc-status.ts";
import { type Call, Malformed } from "./handlers.ts";

type UnaryCall = grpc.ServerUnaryCall<Message, Message>;
type DuplexCall = grpc.ServerDuplexStream<Message, Message>;
type StreamCall = grpc.ServerWritableStream<Message, Message> | DuplexCall;

/** Mounts guarded RPCs on a grpc-js server: unary ones and streams of all kinds, encoded by protobuf-es. */
export function addToGrpcServer(server: grpc.Server, guarded: readonly Guarded[]): void {
  const services = Map.groupBy(guarded, (rpc) => rpc.method.parent);
  for (const [service, rpcs] of services) {
    const definition: Record<string, grpc.MethodDefinition<Message, Message>> = {};
    const implementation: Record<string, grpc.UntypedHandleCall> = {};
    for (const rpc of rpcs) {
      definition[rpc.method.name] = methodDefinition(service.typeName, rpc);
      implementation[rpc.method.name] = (
        rpc.method.methodKind === "unary" ? unary(rpc) : stream(rpc)
      ) as grpc.UntypedHandleCall;
    }
    server.addService(definition, implementation);
  }
}

function methodDefinition(service: string, { method, read }: Guarded): grpc.MethodDefinition<Message, Message> {
  const kind = method.methodKind;
  return {
    path: `/${service}/${method.name}`,
    originalName: method.localName,
    requestStream: kind === "client_streaming" || kind === "bidi_streaming",
    // A client's stream is on the wire a bidirectional one with one answer, and is served as such.
    responseStream: kind !== "unary",
    requestDeserialize: (bytes) => readRequest(read, bytes),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
    requestSerialize: (message) => asBuffer(toBinary(method.input, message)),
    responseSerialize: (message) => asBuffer(bytesOf(message) ?? toBinary(method.output, message)),
  };
}

// What the library says of bytes that are no message is a fault of the server; it is the caller's.
function readRequest(read: Guarded["read"], bytes: Uint8Array): Message {
  try {
    return read(bytes);
  } catch (error) {
    return new Malformed(error) as unknown as Message;
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function unary(rpc: Guarded): grpc.handleUnaryCall<Message, Message> {
  return (call, callback) => {
    const headers = createHeaders(call);
    const signal = createLazySignal(call);
    const answer = (response: Message) => {
      signal.end();
      headers.send();
      callback(null, response);
    };
    const refuse = (error: unknown) => {
      signal.end();
      headers.send();
      callback(toServiceError(error));
    };
    let response: NowOrLater<Message>;
    try {
      response = rpc.unary(call.request, callOf(call, headers, signal));
    } catch (error) {
      return refuse(error);
    }
    if (response instanceof Promise) response.then(answer, refuse);
    else answer(response);
  };
}

function stream(rpc: Guarded): (call: StreamCall) => Promise<void> {
  return async (call) => {
    const headers = createHeaders(call);
    const signal = createLazySignal(call);
    const about = callOf(call, headers, signal);
    try {
      const answers = "request" in call ? rpc.stream(call.request, about) : rpc.exchange(requestsOf(call), about);
      const ended = await writeAll(call, answers, headers);
      signal.end();
      if (!ended) return;
      headers.send();
      call.end();
    } catch (error) {
      signal.end();
      if (isGone(call)) return;
      headers.send();
      call.emit("error", toServiceError(error));
    }
  };
}

// Reads nothing before it is iterated over, and then no further ahead than the library's queue of some messages. Not the
// stream's own iterator: that destroys the call when it fails, before its status is sent.
async function* requestsOf(call: DuplexCall): AsyncGenerator<Message> {
  let wake = () => {};
  const changed = () => wake();
  const events = ["readable", "end", "close"];
  for (const event of events) call.on(event, changed);
  try {
    for (;;) {
      const request: Message | null = call.read();
      if (request instanceof Malformed) throw new ConnectError("a message can't be read", Code.InvalidArgument);
      if (request !== null) yield request;
      else if (call.readableEnded || call.destroyed) break;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
    if (call.cancelled) throw new ConnectError("the caller went away", Code.Canceled);
  } finally {
    for (const event of events) call.off(event, changed);
  }
}

// Writes all that the handler yields, as fast as the reader reads. False when the reader went away before the end.
async function writeAll(call: StreamCall, messages: AsyncIterable<Message>, headers: AnswerHeaders): Promise<boolean> {
  const iterator = messages[Symbol.asyncIterator]();
  // At once, and not after the next message, which may never come: so the handler's `finally` runs.
  const stop = () => void iterator.return?.().catch(() => {});
  call.once("cancelled", stop);
  for (;;) {
    const next = await iterator.next();
    if (isGone(call)) return false;
    if (next.done) break;
    // Only now: a generator sets its headers when it runs. The library sends them once.
    headers.send();
    if (!call.write(next.value)) await drained(call);
  }
  call.off("cancelled", stop);
  return true;
}

function isGone(call: StreamCall): boolean {
  return call.cancelled || call.destroyed;
}

// Waits until the reader has room, or is gone. Leaves nothing behind: a watch may stall a million times in its life.
function drained(call: StreamCall): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      call.off("drain", done);
      call.off("close", done);
      resolve();
    };
    call.once("drain", done);
    call.once("close", done);
    if (call.destroyed) done();
  });
}

function callOf(call: UnaryCall | StreamCall, headers: AnswerHeaders, signal: { get(): AbortSignal }): Call {
  return {
    header: (name) => (name === ":authority" ? call.getHost() : call.metadata.get(name)[0]?.toString()),
    setHeader: headers.set,
    isHttp: false,
    peer: call.getPeer(),
    timeoutMs: timeLeftMs(call),
    signal: signal.get,
  };
}

interface AnswerHeaders {
  set(name: string, value: string): void;
  send(): void;
}

// What a handler sets before its first message. Most set nothing, and for them nothing is made.
function createHeaders(call: UnaryCall | StreamCall): AnswerHeaders {
  let metadata: grpc.Metadata | undefined;
  return {
    set(name, value) {
      metadata ??= new grpc.Metadata();
      metadata.set(name, value);
    },
    send() {
      if (metadata) call.sendMetadata(metadata);
    },
  };
}

function timeLeftMs(call: UnaryCall | StreamCall): number | undefined {
  const deadline = call.getDeadline();
  const at = typeof deadline === "number" ? deadline : deadline.getTime();
  return Number.isFinite(at) ? Math.max(0, at - systemClock.now()) : undefined;
}

/** Node's timers count in 31 bits, and fire at once when given more. */
const TIMER_MAX_MS = 2 ** 31 - 1;

// Aborts when the caller goes away or its deadline passes, and never because the call is complete: grpc-js says
// "cancelled" then too. Made when it is first asked for; most calls never do.
function createLazySignal(call: UnaryCall | StreamCall): { get(): AbortSignal; end(): void } {
  let controller: AbortController | undefined;
  let timer: NodeJS.Timeout | undefined;
  let ended = false;
  const abort = () => {
    clearTimeout(timer);
    if (ended) return;
    const reason =
      timeLeftMs(call) === 0
        ? new ConnectError("the deadline has passed", Code.DeadlineExceeded)
        : new ConnectError("the caller went away", Code.Canceled);
    controller?.abort(reason);
  };
  return {
    get() {
      if (controller) return controller.signal;
      controller = new AbortController();
      if (call.cancelled) abort();
      else {
        (call as UnaryCall).once("cancelled", abort);
        // The library's own timer tells of the deadline only after the last bytes: never, while the reader stalls.
        const left = timeLeftMs(call);
        if (left !== undefined && !ended) timer = setTimeout(abort, Math.min(left + 1, TIMER_MAX_MS));
      }
      return controller.signal;
    },
    end() {
      ended = true;
      clearTimeout(timer);
    },
  };
}
