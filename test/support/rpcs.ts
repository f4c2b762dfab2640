import { create, type DescMethod, type DescService, type Message } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { Code, ConnectError } from "@connectrpc/connect";
import { ALL_SERVICES } from "../../src/server/services.ts";
import type { Clients } from "./app.ts";

/** An RPC with its service. */
export interface RpcOf {
  readonly service: DescService;
  readonly method: DescMethod;
  /** "TenantService.GetTenant". */
  readonly name: string;
}

/** Every RPC of the public API, by reflection, so that a new one can't be forgotten. */
export const RPCS: readonly RpcOf[] = ALL_SERVICES.flatMap((service) =>
  service.methods.map((method) => ({ service, method, name: `${service.name}.${method.name}` })),
);

type Caller = Record<string, (request: unknown, options?: object) => unknown>;

/** Makes a unary call, or opens a stream and reads its first message. */
export async function callRpc(
  clients: Clients,
  { service, method }: RpcOf,
  request: object,
  options: { headers?: Record<string, string> } = {},
): Promise<unknown> {
  const client = clients.of(service) as unknown as Caller;
  const message = "$typeName" in request ? request : create(method.input, request as never);
  const streams = method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";
  const answer = client[method.localName]?.(streams ? once(message) : message, options);
  if (method.methodKind === "unary" || method.methodKind === "client_streaming") return answer;
  const iterator = (answer as AsyncIterable<unknown>)[Symbol.asyncIterator]();
  const { value } = await iterator.next();
  await iterator.return?.();
  return value;
}

async function* once(message: unknown): AsyncGenerator<unknown> {
  yield message;
}

/** The code that an RPC ends with, or "ok". */
export async function codeOf(clients: Clients, rpc: RpcOf, request: object = {}): Promise<string> {
  return callRpc(clients, rpc, request).then(
    () => "ok",
    (error: unknown) => Code[ConnectError.from(error).code],
  );
}

/** An otherwise empty request with one field set, by a path such as "tenant.name". */
export function requestWith(method: DescMethod, path: string, value: string): Message {
  const request = create(method.input);
  let place = reflect(method.input, request);
  const [last = "", ...before] = path.split(".").reverse();
  for (const step of before.reverse()) {
    const field = place.desc.fields.find(({ name }) => name === step);
    if (field?.fieldKind !== "message") throw new Error(`${method.name} has no message ${step}`);
    place.set(field, reflect(field.message));
    place = place.get(field);
  }
  const field = place.desc.fields.find(({ name }) => name === last);
  if (field?.fieldKind !== "scalar") throw new Error(`${method.name} has no field ${path}`);
  place.set(field, value);
  return request;
}
