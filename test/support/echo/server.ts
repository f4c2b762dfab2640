import { create, fromBinary, type Message } from "@bufbuild/protobuf";
import type { Guarded } from "../../../src/server/chain.ts";
import { type Listener, startGrpcListener } from "../../../src/server/grpc-listener.ts";
import type { Call } from "../../../src/server/handlers.ts";
import { type EchoRequest, type EchoResponse, EchoResponseSchema, EchoService } from "./gen/echo_pb.ts";

/** What the echo service does in a test; what is left out echoes. */
export interface EchoHandlers {
  unary?(request: EchoRequest, call: Call): Promise<Message>;
  stream?(request: EchoRequest, call: Call): AsyncIterable<Message>;
  exchange?(requests: AsyncIterable<EchoRequest>, call: Call): AsyncIterable<Message>;
}

export const answer = (text: string): EchoResponse => create(EchoResponseSchema, { text });

/** Serves EchoService on the real gRPC listener, on a free loopback port. */
export function startEcho(
  handlers: EchoHandlers,
  options: { port?: number; messageMaxBytes?: number } = {},
): Promise<Listener> {
  const unary = handlers.unary ?? (async (request: EchoRequest) => answer(request.text));
  const stream =
    handlers.stream ??
    async function* (request: EchoRequest) {
      yield answer(request.text);
    };
  const exchange =
    handlers.exchange ??
    async function* (requests: AsyncIterable<EchoRequest>) {
      for await (const request of requests) yield answer(request.text);
    };
  const guarded = EchoService.methods.map(
    (method): Guarded => ({
      method,
      read: (bytes) => fromBinary(method.input, bytes),
      unary: (request, call) => unary(request as EchoRequest, call),
      stream: (request, call) => stream(request as EchoRequest, call),
      exchange: (requests, call) => exchange(requests as AsyncIterable<EchoRequest>, call),
    }),
  );
  const { port = 0, messageMaxBytes = 4 * 1024 * 1024 } = options;
  return startGrpcListener(guarded, { host: "127.0.0.1", port, tls: undefined, messageMaxBytes });
}
