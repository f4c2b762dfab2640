import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, type Interceptor, type Transport } from "@connectrpc/connect";
import { runStreamingCall, runUnaryCall } from "@connectrpc/connect/protocol";
import * as grpc from "@grpc/grpc-js";
import { StreamQuotaChecksResponseSchema } from "./gen/tenantplane/v1/quota_check_pb.ts";
import { callStream, callUnary } from "./grpc-call.ts";
import { toMetadata } from "./grpc-status.ts";
import { bytesOf, messageOf } from "./wire.ts";

/** How to reach a server over gRPC. */
export interface GrpcTransportOptions {
  /** The gRPC listener, such as "http://127.0.0.1:50051" or "https://tenantplane.example:443". */
  readonly address: string;
  /** An API key. */
  readonly apiKey?: string;
  /** Gives the token of every call, for servers with an identity provider; takes the place of the key. */
  readonly token?: () => Promise<string>;
  /** PEM texts, for "https:" alone: a private authority, and the client's own certificate where one is asked for. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** The deadline of a unary call without one, in milliseconds; 10,000 by default. Streams have none. */
  readonly defaultTimeoutMs?: number;
  readonly interceptors?: Interceptor[];
}

/** A transport that holds connections; `close` ends them. Calls after it are refused. */
export type GrpcTransport = Transport & { close(): void };

/** A caller that waits longer has given up. */
const DEFAULT_TIMEOUT_MS = 10_000;

const CHANNEL = {
  // A peer that vanished without a word is found within these two; the server allows a ping this often.
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  // A node that restarts is back within seconds.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 5_000,
  // Nothing is configured by TXT records.
  "grpc.service_config_disable_resolution": 1,
  // A page of a thousand tenants can be larger than the library's 4 MiB.
  "grpc.max_receive_message_length": 64 * 1024 * 1024,
};

/**
 * Makes a Connect transport over grpc-js. Refused calls throw ConnectError with its details; a server that dies or
 * can't be reached is `Code.Unavailable`; a unary call always ends, by its deadline at the latest. Throws a TypeError
 * for an address that is none.
 */
export function createGrpcTransport(options: GrpcTransportOptions): GrpcTransport {
  const client = new grpc.Client(targetOf(options.address), credentialsOf(options), CHANNEL);
  const { interceptors = [], defaultTimeoutMs = DEFAULT_TIMEOUT_MS } = options;
  const metadataOf = async (header: Headers, signal: AbortSignal) => {
    const token = options.token ? await beforeAbort(options.token(), signal) : options.apiKey;
    if (token !== undefined) header.set("authorization", `Bearer ${token}`);
    return toMetadata(header);
  };
  return {
    close: () => client.close(),
    unary(method, signal, timeoutMs, header, message, contextValues) {
      const deadline = deadlineOf(timeoutMs ?? defaultTimeoutMs);
      return runUnaryCall<typeof method.input, typeof method.output>({
        interceptors,
        ...deadline.forConnect,
        ...(signal ? { signal } : {}),
        req: { stream: false, ...common(options, method, header, contextValues), method, message },
        async next(request) {
          const metadata = await metadataOf(request.header, request.signal);
          return callUnary(client, request, codecOf(method.input, method.output), metadata, deadline.forGrpc);
        },
      });
    },
    stream(method, signal, timeoutMs, header, message, contextValues) {
      const deadline = deadlineOf(timeoutMs);
      return runStreamingCall<typeof method.input, typeof method.output>({
        interceptors,
        ...deadline.forConnect,
        ...(signal ? { signal } : {}),
        req: { stream: true, ...common(options, method, header, contextValues), method, message },
        async next(request) {
          const metadata = await metadataOf(request.header, request.signal);
          return callStream(client, request, codecOf(method.input, method.output), metadata, deadline.forGrpc);
        },
      });
    },
  };
}

function common(
  { address }: GrpcTransportOptions,
  method: Parameters<Transport["unary"]>[0] | Parameters<Transport["stream"]>[0],
  header: HeadersInit | undefined,
  contextValues = createContextValues(),
) {
  const url = new URL(`/${method.parent.typeName}/${method.name}`, address).href;
  return { service: method.parent, requestMethod: "POST", url, header: new Headers(header), contextValues };
}

function targetOf(address: string): string {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.hostname === "") {
    throw new TypeError(`address must be "http://host:port" or "https://host:port", not ${JSON.stringify(address)}`);
  }
  return `dns:${url.hostname}:${url.port || (url.protocol === "https:" ? 443 : 80)}`;
}

function credentialsOf({ address, tls = {} }: GrpcTransportOptions): grpc.ChannelCredentials {
  if (!address.startsWith("https:")) return grpc.credentials.createInsecure();
  const pem = (text: string | undefined) => (text === undefined ? null : Buffer.from(text));
  return grpc.credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert));
}

// As for all transports of Connect: 0 and less mean that the call has no deadline.
function deadlineOf(timeoutMs: number | undefined) {
  if (timeoutMs === undefined || timeoutMs <= 0) return { forConnect: {}, forGrpc: {} };
  return { forConnect: { timeoutMs }, forGrpc: { deadline: Date.now() + timeoutMs } };
}

function codecOf<I extends DescMessage, O extends DescMessage>(input: I, output: O) {
  return {
    serialize(message: MessageShape<I>): Buffer {
      const bytes = bytesOf(message) ?? toBinary(input, message);
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
    deserialize: (bytes: Buffer) => (READ_BY_HAND.has(output) ? messageOf(output, bytes) : fromBinary(output, bytes)),
  };
}

/** Messages that come in such numbers that their reader takes the bytes apart itself. */
const READ_BY_HAND: ReadonlySet<DescMessage> = new Set([StreamQuotaChecksResponseSchema]);

// An identity provider that doesn't answer must not outlive the call.
function beforeAbort(token: Promise<string>, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const aborted = () => reject(signal.reason);
    if (signal.aborted) return aborted();
    signal.addEventListener("abort", aborted, { once: true });
    const failed = (error: unknown) => reject(ConnectError.from(error, Code.Unauthenticated));
    token.then(resolve, failed).finally(() => signal.removeEventListener("abort", aborted));
  });
}
