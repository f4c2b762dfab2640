import type {
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodClientStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  Message,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { Ctx } from "../context.ts";
import type { NowOrLater } from "../platform/now-or-later.ts";
import type { Identify } from "./run.ts";

/**
 * The handlers of a service, all of them: a forgotten RPC does not compile. They know nothing of transports.
 * A client's stream that is cancelled may look as if it had ended: Node's clients end it before they reset it. What must
 * be whole says so in its last message.
 */
export type Handlers<S extends DescService> = {
  [K in keyof S["method"]]: S["method"][K] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageShape<I>, ctx: Ctx) => NowOrLater<MessageInitShape<O>>
    : S["method"][K] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageShape<I>, ctx: Ctx) => AsyncIterable<MessageInitShape<O>>
      : S["method"][K] extends DescMethodClientStreaming<infer I, infer O>
        ? (requests: AsyncIterable<MessageShape<I>>, ctx: Ctx) => Promise<MessageInitShape<O>>
        : S["method"][K] extends DescMethodBiDiStreaming<infer I, infer O>
          ? (requests: AsyncIterable<MessageShape<I>>, ctx: Ctx) => AsyncIterable<MessageInitShape<O>>
          : never;
};

/** A service with its handlers, as the listeners mount it. */
export interface Mount {
  readonly service: DescService;
  readonly handlers: Readonly<Record<string, AnyHandler>>;
  readonly readers: Readers;
  /** In the place of the usual way to tell who calls an RPC. */
  readonly identify?: (method: DescMethod) => Identify;
}

/** Reads the requests of some RPCs of their bytes, in the place of the library; by the RPC's local name. */
export type Readers = Readonly<Record<string, (bytes: Uint8Array) => Message>>;

/** A handler whose types are forgotten; `input` is one request, or an iterable of them where the client streams. */
export type AnyHandler = (input: unknown, ctx: Ctx) => NowOrLater<object> | AsyncIterable<object>;

/** Pairs a service with all of its handlers. */
export function mount<S extends DescService>(service: S, handlers: Handlers<S>, readers: Readers = {}): Mount {
  return { service, handlers: handlers as unknown as Mount["handlers"], readers };
}

/** Stands in the place of a message that could not be read: the chain refuses it, once it knows who calls. */
export class Malformed {
  readonly cause: unknown;

  constructor(cause: unknown) {
    this.cause = cause;
  }
}

/** What a listener knows of a call before anybody has looked at it. */
export interface Call {
  /** ":authority" is the host that it was sent to. */
  header(name: string): string | undefined;
  setHeader(name: string, value: string): void;
  /** True on the HTTP port. */
  readonly isHttp: boolean;
  readonly peer: string;
  /** The caller's own deadline, if it set one. */
  readonly timeoutMs: number | undefined;
  /** Gives the signal that aborts when the caller goes away; most calls never ask. */
  signal(): AbortSignal;
}

/** "tenantplane.v1.TenantService/GetTenant". */
export function fullName(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}
