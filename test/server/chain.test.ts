import { connect } from "node:net";
import { create, setExtension } from "@bufbuild/protobuf";
import { MethodOptionsSchema } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { createGrpcTransport } from "@tenantplane/sdk";
import { ErrorInfoSchema } from "@tenantplane/sdk/gen/google/rpc/error_details_pb";
import { AccessRule_Target, AccessRuleSchema, access } from "@tenantplane/sdk/gen/tenantplane/v1/options_pb";
import { afterEach, describe, expect, it } from "vitest";
import type { Binding } from "../../src/auth/permission.ts";
import { withFacts } from "../../src/context.ts";
import { DomainError } from "../../src/errors.ts";
import { systemClock, systemIds } from "../../src/platform/clock.ts";
import { sha256 } from "../../src/platform/crypto.ts";
import { silentLog } from "../../src/platform/log.ts";
import { guardAll } from "../../src/server/chain.ts";
import { startGrpcListener } from "../../src/server/grpc-listener.ts";
import { type Handlers, mount } from "../../src/server/handlers.ts";
import { startHttpListener } from "../../src/server/http-listener.ts";
import { type EchoRequest, EchoService } from "../support/echo/gen/echo_pb.ts";

// What the protos of real services declare: each text names a tenant, but for the client's stream.
for (const method of EchoService.methods) {
  const each = { permission: "tenants.get", target: AccessRule_Target.TENANT, field: "text" };
  const caller = { permission: "tenants.list", target: AccessRule_Target.CALLER };
  method.proto.options ??= create(MethodOptionsSchema);
  setExtension(method.proto.options, access, create(AccessRuleSchema, method.name === "Client" ? caller : each));
}

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

type Echo = Handlers<typeof EchoService>;

const handlers: Echo = {
  unary: async (request) => ({ text: request.text }),
  post: async (request) => ({ text: request.text }),
  async *server(request) {
    yield { text: request.text };
  },
  client: async (requests) => ({ text: (await Array.fromAsync(requests, ({ text }) => text)).join(" ") }),
  async *bidi(requests) {
    for await (const { text } of requests) yield { text };
  },
};

const ACME: Binding = { role: "tenant.viewer", scope: { kind: "tenant", tenantId: "acme", tenantUid: "1" } };

/** The echo service behind the chain on both listeners, called by a viewer of tenants/acme. */
async function start(changed: Partial<Echo> = {}) {
  const state = {
    bindings: [ACME],
    /** Whether the caller is known at once. */
    known: false,
    refuse: undefined as DomainError | undefined,
    denied: [] as string[],
    counted: [] as string[],
  };
  const draining = new AbortController();
  const guarded = guardAll(
    {
      clock: systemClock,
      ids: systemIds,
      log: silentLog,
      authenticator: {
        identify() {
          if (state.refuse) throw state.refuse;
          const caller = { actor: "somebody", bindings: state.bindings };
          return state.known ? caller : Promise.resolve(caller);
        },
        identifyKey: () => expect.unreachable(),
        requireActive: (caller) => caller,
        forgetKey: () => {},
        forgetKeysOf: () => {},
        takeUsedKeys: () => [],
      },
      findTenant: async () => undefined,
      sha256,
      observe: (method, code) => state.counted.push(`${method.split("/")[1]} ${code}`),
      onDenied: ({ resource }) => state.denied.push(resource),
      deadlineDefaultMs: 5_000,
      deadlineMaxMs: 5_000,
      draining: draining.signal,
    },
    [mount(EchoService, { ...handlers, ...changed })],
  );
  const options = { host: "127.0.0.1", port: 0, tls: undefined, messageMaxBytes: 1_000 };
  const grpc = await startGrpcListener(guarded, options);
  const http = await startHttpListener(guarded, { ...options, corsOrigins: [], pages: async () => undefined });
  ends.push(
    () => grpc.stop(100),
    () => http.stop(100),
  );
  const transport = createGrpcTransport({ address: `http://127.0.0.1:${grpc.port}` });
  ends.push(() => transport.close());
  const clients: Record<string, Client<typeof EchoService>> = {
    "the gRPC listener": createClient(EchoService, transport),
    "the HTTP listener": createClient(
      EchoService,
      createConnectTransport({ baseUrl: `http://127.0.0.1:${http.port}`, httpVersion: "2" }),
    ),
  };
  const ports: Record<string, number> = { "the gRPC listener": grpc.port, "the HTTP listener": http.port };
  return { state, draining, clients, ports };
}

function clientOf(clients: Record<string, Client<typeof EchoService>>, listener: string): Client<typeof EchoService> {
  return clients[listener] ?? expect.unreachable();
}

/** What came of a stream: its texts, then how it ended. */
async function outcome(answers: AsyncIterable<{ text: string }> | Promise<{ text: string }>): Promise<string[]> {
  const texts: string[] = [];
  try {
    if (Symbol.asyncIterator in answers) for await (const { text } of answers) texts.push(text);
    else texts.push((await answers).text);
    return [...texts, "ok"];
  } catch (error) {
    const refused = ConnectError.from(error);
    return [...texts, `${Code[refused.code]} ${refused.findDetails(ErrorInfoSchema)[0]?.reason}`];
  }
}

/** A client's side of a stream, sent as the test pushes. */
function script() {
  const queue: string[] = [];
  let wake = () => {};
  let ended = false;
  return {
    push(text: string) {
      queue.push(text);
      wake();
    },
    end() {
      ended = true;
      wake();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const text = queue.shift();
        if (text !== undefined) yield { text };
        else if (ended) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}

const LISTENERS = ["the gRPC listener", "the HTTP listener"];

describe.each(LISTENERS)("a unary call on %s", (listener) => {
  it.each(["at once", "later"])(
    "is answered %s: by its handler, by a refusal of its handler, by one of the chain",
    async (when) => {
      const known = when === "at once";
      const answer = ({ text }: { text: string }) => {
        if (text.endsWith("missing")) throw new DomainError("RESOURCE_NOT_FOUND", "there is none");
        return { text };
      };
      const { clients, state } = await start({ unary: known ? answer : async (request) => answer(request) });
      state.known = known;
      const client = clientOf(clients, listener);
      const found: string[][] = [];
      for (const text of ["tenants/acme", "tenants/acme/missing", "tenants/other"]) {
        found.push(await outcome(client.unary({ text })));
      }
      expect(found).toEqual([
        ["tenants/acme", "ok"],
        ["NotFound RESOURCE_NOT_FOUND"],
        ["PermissionDenied PERMISSION_DENIED"],
      ]);
      expect(state.counted).toEqual(["Unary ok", "Unary not_found", "Unary permission_denied"]);
    },
  );

  it("tells its id in a header when its handler keeps anything under it, and then the caller's own if it sent one", async () => {
    const { clients } = await start({
      unary: (request, ctx) => ({ text: request.text.endsWith("/kept") ? ctx.callId : "" }),
    });
    const client = clientOf(clients, listener);
    const told: (string | null)[] = [];
    const onHeader = (headers: Headers) => told.push(headers.get("x-request-id"));
    const text = "tenants/acme/kept";
    const read = await client.unary({ text: "tenants/acme" }, { onHeader });
    const own = await client.unary({ text }, { onHeader, headers: { "x-request-id": "caller-own-1" } });
    const made = await client.unary({ text }, { onHeader });
    expect(told).toEqual([null, own.text, made.text]);
    expect([read.text, own.text, made.text]).toEqual(["", "caller-own-1", expect.stringMatching(/^[0-9a-f-]{36}$/)]);
  });

  it("has a context whose facts can be changed for a part of its work, without losing the others", async () => {
    const { clients } = await start({
      unary: (_, ctx) => {
        const { reason, callId, principal, signal, method } = withFacts(ctx, { reason: "another" });
        return { text: [reason, callId === ctx.callId, principal.actor, signal === ctx.signal, method].join(" ") };
      },
    });
    const { text } = await clientOf(clients, listener).unary({ text: "tenants/acme" });
    expect(text).toBe("another true somebody true echo.v1.EchoService/Unary");
  });
});

describe.each(LISTENERS)("a stream of requests on %s", (listener) => {
  it("is answered, one by one or all at once", async () => {
    const { clients, state } = await start();
    const client = clientOf(clients, listener);
    const words = (...texts: string[]) => Array.from(texts, (text) => ({ text }));
    const bidi = await outcome(client.bidi(iterate(words("tenants/acme", "tenants/acme/users/1"))));
    const one = await outcome(client.client(iterate(words("a", "b"))));
    expect([bidi, one]).toEqual([
      ["tenants/acme", "tenants/acme/users/1", "ok"],
      ["a b", "ok"],
    ]);
    await expect.poll(() => state.counted).toEqual(["Bidi ok", "Client ok"]);
  });

  it("asks for permission on what each request names, and ends at the first without, whatever the handler does", async () => {
    const { clients, state } = await start({
      async *bidi(requests) {
        try {
          for await (const { text } of requests) yield { text };
        } catch {
          yield { text: "as if nothing had happened" };
        }
      },
    });
    const names = ["tenants/acme", "tenants/other", "tenants/acme"];
    const found = await outcome(clientOf(clients, listener).bidi(iterate(names.map((text) => ({ text })))));
    expect(found.at(-1)).toBe("PermissionDenied PERMISSION_DENIED");
    expect(found.slice(0, -1).every((text) => text === "tenants/acme")).toBe(true);
    expect(state.denied).toEqual(["tenants/other"]);
  });

  it("ends with the reason within a second when its caller is refused, also while nothing is sent", async () => {
    const { clients, state } = await start();
    const sent = script();
    sent.push("tenants/acme");
    const answers = clientOf(clients, listener).bidi(sent)[Symbol.asyncIterator]();
    await answers.next();
    state.refuse = new DomainError("CREDENTIALS_INVALID", "the key was revoked");
    const startedAt = performance.now();
    expect(await outcome({ [Symbol.asyncIterator]: () => answers })).toEqual(["Unauthenticated CREDENTIALS_INVALID"]);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  it("ends a server stream too, within a second after its caller lost the permission", async () => {
    const { clients, state } = await start({
      async *server(request) {
        yield { text: request.text };
        await new Promise(() => {});
      },
    });
    const answers = clientOf(clients, listener).server({ text: "tenants/acme" })[Symbol.asyncIterator]();
    await answers.next();
    state.bindings = [];
    expect(await outcome({ [Symbol.asyncIterator]: () => answers })).toEqual(["PermissionDenied PERMISSION_DENIED"]);
    expect(state.denied).toEqual(["tenants/acme"]);
  });

  it("answers what is under way when the node stops, then says so; a client's stream is broken off", async () => {
    const reading = Promise.withResolvers<void>();
    const { clients, draining, state } = await start({
      async *bidi(requests) {
        for await (const { text } of requests) yield { text };
        yield { text: "last" };
      },
      async client(requests) {
        for await (const _ of requests) reading.resolve();
        return { text: "half of it" };
      },
    });
    const client = clientOf(clients, listener);
    const [first, second] = [script(), script()];
    first.push("tenants/acme");
    second.push("begun");
    const answers = client.bidi(first)[Symbol.asyncIterator]();
    await answers.next();
    const one = outcome(client.client(second));
    await reading.promise;
    draining.abort();
    expect(await outcome({ [Symbol.asyncIterator]: () => answers })).toEqual(["last", "Unavailable SHUTTING_DOWN"]);
    expect(await one).toEqual(["Unavailable SHUTTING_DOWN"]);
    expect(state.counted.toSorted()).toEqual(["Bidi unavailable", "Client unavailable"]);
  });

  it("aborts the handler's signal when the caller goes away", async () => {
    const aborted = Promise.withResolvers<unknown>();
    const { clients } = await start({
      async *bidi(requests, { signal }) {
        signal.addEventListener("abort", () => aborted.resolve(signal.reason));
        for await (const { text } of requests) yield { text };
        await new Promise(() => {});
      },
    });
    const cancel = new AbortController();
    const sent = script();
    sent.push("tenants/acme");
    const answers = clientOf(clients, listener).bidi(sent, { signal: cancel.signal })[Symbol.asyncIterator]();
    await answers.next();
    cancel.abort();
    await outcome({ [Symbol.asyncIterator]: () => answers });
    expect(await aborted.promise).toMatchObject({ reason: "CANCELLED" });
  });

  it.each(["resets it", "breaks the connection"])(
    "does not take a stream for ended when its caller %s",
    async (how) => {
      const began = Promise.withResolvers<void>();
      const completed: string[] = [];
      const { state, ports } = await start({
        async client(requests) {
          for await (const _ of requests) began.resolve();
          completed.push("taken for complete");
          return { text: "" };
        },
      });
      const socket = connect(ports[listener] ?? 0, "127.0.0.1");
      socket.write(beginClientStream());
      await began.promise;
      if (how === "resets it") socket.write(frame(RST_STREAM, 0, Buffer.from([0, 0, 0, CANCEL])));
      else socket.destroy();
      await expect.poll(() => state.counted).toEqual(["Client cancelled"]);
      expect(completed).toEqual([]);
      socket.destroy();
    },
  );

  it("refuses a message that is too large, and calls it no fault of the server", async () => {
    const { clients, state } = await start();
    const found = await outcome(clientOf(clients, listener).bidi(iterate([{ text: `tenants/${"x".repeat(2_000)}` }])));
    expect(found[0]).toMatch(/^ResourceExhausted/);
    await expect.poll(() => state.counted).toEqual([expect.stringMatching(/^Bidi (resource_exhausted|cancelled)$/)]);
  });
});

async function* iterate(messages: readonly Partial<EchoRequest>[]) {
  for (const { text = "" } of messages) yield { text };
}

const [DATA, HEADERS, RST_STREAM, SETTINGS] = [0, 1, 3, 4];
const [CANCEL, END_HEADERS] = [8, 4];

/** A frame of HTTP/2. By hand, because Node's own client ends a stream before it resets it. */
function frame(type: number, flags: number, payload: Buffer, stream = 1): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Opens a connection and a call of Client, and sends one empty message: its prefix of five bytes. */
function beginClientStream(): Buffer {
  const text = (value: string) => [value.length, ...Buffer.from(value)];
  const headers = [
    ...[0x83, 0x86], // ":method: POST" and ":scheme: http" of HPACK's static table
    ...[0x04, ...text("/echo.v1.EchoService/Client")],
    ...[0x01, ...text("localhost")],
    ...[0x0f, 0x10, ...text("application/grpc")],
    ...[0x00, ...text("te"), ...text("trailers")],
  ];
  return Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    frame(SETTINGS, 0, Buffer.alloc(0), 0),
    frame(HEADERS, END_HEADERS, Buffer.from(headers)),
    frame(DATA, 0, Buffer.alloc(5)),
  ]);
}
