import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type StreamRequest,
  type StreamResponse,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";
import * as grpc from "@grpc/grpc-js";
import { toConnectError, toHeaders } from "./grpc-status.ts";

/** A method's messages as bytes. */
export interface Codec<I extends DescMessage, O extends DescMessage> {
  serialize(message: MessageShape<I>): Buffer;
  deserialize(bytes: Buffer): MessageShape<O>;
}

/** Makes one unary call. Rejects with a ConnectError; the request's signal cancels the call. */
export function callUnary<I extends DescMessage, O extends DescMessage>(
  client: grpc.Client,
  request: UnaryRequest<I, O>,
  codec: Codec<I, O>,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
): Promise<UnaryResponse<I, O>> {
  const { method, service, message, signal } = request;
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const header = new Headers();
    let answer: MessageShape<O> | undefined;
    const cancel = () => call.cancel();
    const call = client.makeUnaryRequest(
      pathOf(request),
      codec.serialize,
      codec.deserialize,
      message,
      metadata,
      options,
      (error, value) => {
        signal.removeEventListener("abort", cancel);
        if (error) reject(toConnectError(error));
        answer = value;
      },
    );
    signal.addEventListener("abort", cancel, { once: true });
    call.on("metadata", (found) => toHeaders(found, header));
    // Comes after the answer and brings the trailers.
    call.on("status", (status) => {
      if (answer === undefined) reject(toConnectError(status));
      else resolve({ stream: false, method, service, header, trailer: toHeaders(status.metadata), message: answer });
    });
  });
}

/** Begins a call of any streaming kind. Its messages end with a ConnectError when it fails; the signal cancels it. */
export async function callStream<I extends DescMessage, O extends DescMessage>(
  client: grpc.Client,
  request: StreamRequest<I, O>,
  codec: Codec<I, O>,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
): Promise<StreamResponse<I, O>> {
  const { method, service, signal } = request;
  if (signal.aborted) throw signal.reason;
  const header = new Headers();
  const trailer = new Headers();
  // The three streaming kinds are one on the wire.
  const call = client.makeBidiStreamRequest(pathOf(request), codec.serialize, codec.deserialize, metadata, options);
  // The status tells what an error would, and comes always.
  call.on("error", () => {});
  const cancel = () => call.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  const status = new Promise<grpc.StatusObject>((resolve) => call.once("status", resolve));
  const begun = new Promise<void>((resolve) => {
    call.once("metadata", (found) => {
      toHeaders(found, header);
      resolve();
    });
    call.once("status", () => resolve());
  });
  // Until something is read the library holds back nothing, and a server could fill the memory.
  call.read(0);
  const sending = sendAll(call, request.message, status);
  await begun;
  const message = readAll(call, status, sending, trailer, () => signal.removeEventListener("abort", cancel));
  return { stream: true, method, service, header, trailer, message };
}

type Call<I, O> = grpc.ClientDuplexStream<I, O>;

// Resolves with what the caller's own messages failed with, if they did.
async function sendAll<I, O>(call: Call<I, O>, messages: AsyncIterable<I>, status: Promise<unknown>): Promise<unknown> {
  let over = false;
  status.then(() => {
    over = true;
  });
  try {
    for await (const message of messages) {
      if (over) return undefined;
      if (!call.write(message)) await roomFor(call);
    }
    call.end();
    return undefined;
  } catch (error) {
    call.cancel();
    return over ? undefined : error;
  }
}

function roomFor<I, O>(call: Call<I, O>): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      call.off("drain", done);
      call.off("status", done);
      resolve();
    };
    call.once("drain", done);
    call.once("status", done);
  });
}

async function* readAll<I, O>(
  call: Call<I, O>,
  status: Promise<grpc.StatusObject>,
  sending: Promise<unknown>,
  trailer: Headers,
  done: () => void,
): AsyncGenerator<O> {
  try {
    yield* call.iterator({ destroyOnReturn: false }) as AsyncIterable<O>;
  } catch {
    // The status says why.
  }
  const { code, details, metadata } = await status;
  done();
  toHeaders(metadata, trailer);
  if (code === grpc.status.OK) return;
  const own = code === grpc.status.CANCELLED ? await Promise.race([sending, undefined]) : undefined;
  throw own === undefined ? toConnectError({ code, details, metadata }) : ConnectError.from(own, Code.Internal);
}

function pathOf({ method }: Pick<UnaryRequest | StreamRequest, "method">): string {
  return `/${method.parent.typeName}/${method.name}`;
}
