import { create, type DescMessage, type DescMethod, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import * as grpc from "@grpc/grpc-js";
import { StatusSchema } from "@tenantplane/sdk/gen/google/rpc/status_pb";
import { systemClock } from "../platform/clock.ts";
import { bytesOf } from "../platform/encode-once.ts";
import type { Guarded } from "./chain.ts";
import type { Call } from "./handlers.ts";

/** Mounts guarded RPCs on a grpc-js server: unary and server streams, encoded by protobuf-es. */
export function addToGrpcServer(server: grpc.Server, guarded: readonly Guarded[]): void {
  const services = Map.groupBy(guarded, (rpc) => rpc.method.parent);
  for (const [service, rpcs] of services) {
    const definition: Record<string, grpc.MethodDefinition<Message, Message>> = {};
    const implementation: Record<string, grpc.UntypedHandleCall> = {};
    for (const rpc of rpcs) {
      definition[rpc.method.name] = methodDefinition(service.typeName, rpc.method);
      implementation[rpc.method.name] =
        rpc.method.methodKind === "unary"
          ? (unary(rpc) as grpc.UntypedHandleCall)
          : (serverStream(rpc) as grpc.UntypedHandleCall);
    }
    server.addService(definition, implementation);
  }
}

function methodDefinition(service: string, method: DescMethod): grpc.MethodDefinition<Message, Message> {
  return {
    path: `/${service}/${method.name}`,
    originalName: method.localName,
    requestStream: false,
    responseStream: method.methodKind === "server_streaming",
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
    requestSerialize: (message) => encode(method.input, message),
    responseSerialize: (message) => encode(method.output, message),
  };
}

function encode(desc: DescMessage, message: Message): Buffer {
  const bytes = bytesOf(message) ?? toBinary(desc, message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function unary(rpc: Guarded): grpc.handleUnaryCall<Message, Message> {
  return (call, callback) => {
    const headers = new grpc.Metadata();
    rpc.unary(call.request, callOf(rpc.method, call, headers)).then(
      (response) => {
        call.sendMetadata(headers);
        callback(null, response);
      },
      (error: unknown) => {
        call.sendMetadata(headers);
        callback(statusOf(error));
      },
    );
  };
}

function serverStream(rpc: Guarded): grpc.handleServerStreamingCall<Message, Message> {
  return async (call) => {
    const headers = new grpc.Metadata();
    const gone = new Promise<void>((resolve) => {
      call.once("cancelled", resolve);
      call.once("close", resolve);
    });
    try {
      const messages = rpc.stream(call.request, callOf(rpc.method, call, headers));
      call.sendMetadata(headers);
      for await (const message of messages) {
        if (call.cancelled || call.destroyed) break;
        // The reader is full: wait for it, or for its end.
        if (!call.write(message)) await Promise.race([new Promise((resolve) => call.once("drain", resolve)), gone]);
      }
      call.end();
    } catch (error) {
      call.emit("error", statusOf(error));
    }
  };
}

function callOf(
  method: DescMethod,
  call: grpc.ServerUnaryCall<Message, Message> | grpc.ServerWritableStream<Message, Message>,
  headers: grpc.Metadata,
): Call {
  let controller: AbortController | undefined;
  const deadline = call.getDeadline();
  const at = typeof deadline === "number" ? deadline : deadline.getTime();
  return {
    method,
    header: (name) => call.metadata.get(name)[0]?.toString(),
    setHeader: (name, value) => headers.set(name, value),
    peer: call.getPeer(),
    timeoutMs: Number.isFinite(at) ? Math.max(0, at - systemClock.now()) : undefined,
    // Most calls never ask for it.
    get signal() {
      if (!controller) {
        const made = new AbortController();
        controller = made;
        if (call.cancelled) made.abort();
        else (call as grpc.ServerUnaryCall<Message, Message>).once("cancelled", () => made.abort());
      }
      return controller.signal;
    },
  };
}

function statusOf(error: unknown): grpc.ServiceError {
  const known = ConnectError.from(error, Code.Internal);
  const metadata = new grpc.Metadata();
  const details = known.details.flatMap((detail) =>
    "desc" in detail
      ? [
          {
            typeUrl: `type.googleapis.com/${detail.desc.typeName}`,
            value: toBinary(detail.desc, create(detail.desc, detail.value)),
          },
        ]
      : [],
  );
  const status = create(StatusSchema, { code: known.code, message: known.rawMessage, details });
  metadata.set("grpc-status-details-bin", Buffer.from(toBinary(StatusSchema, status)));
  return Object.assign(new Error(known.rawMessage), {
    code: known.code as number as grpc.status,
    details: known.rawMessage,
    metadata,
  });
}
