import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import * as grpc from "@grpc/grpc-js";
import { ErrorInfoSchema } from "@tenantplane/sdk/gen/google/rpc/error_details_pb";
import { afterEach, describe, expect, it } from "vitest";
import { createGrpcTransport, type GrpcTransportOptions } from "../../sdk/src/grpc-transport.ts";
import { EchoRequestSchema, EchoResponseSchema, EchoService } from "../support/echo/gen/echo_pb.ts";
import { answer, type EchoHandlers, startEcho } from "../support/echo/server.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

function connect(port: number, options: Partial<GrpcTransportOptions> = {}): Client<typeof EchoService> {
  const transport = createGrpcTransport({ address: `http://127.0.0.1:${port}`, ...options });
  ends.push(() => transport.close());
  return createClient(EchoService, transport);
}

async function echo(handlers: EchoHandlers, options: Partial<GrpcTransportOptions> = {}) {
  const listener = await startEcho(handlers);
  ends.push(() => listener.stop(100));
  return connect(listener.port, options);
}

interface CallEnd {
  readonly timeoutMs?: number;
  readonly abortAfterMs?: number;
}

async function startChild(port = 0): Promise<{ child: ChildProcess; port: number }> {
  const args = ["--conditions=source", "test/support/echo/child.ts", String(port)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  ends.push(() => child.kill("SIGKILL"));
  const [line] = (await once(child.stdout as NonNullable<ChildProcess["stdout"]>, "data")) as [Buffer];
  return { child, port: Number(line.toString()) };
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "answered",
    (error: unknown) => Code[ConnectError.from(error).code],
  );
}

describe("a server that is killed", () => {
  it("fails 30 calls and a stream under way as Unavailable at once; restarted, the same transport reaches it", async () => {
    const first = await startChild();
    const client = connect(first.port, { defaultTimeoutMs: 60_000 });
    expect((await client.unary({ text: "up" })).text).toBe("up");
    const stream = client.server({ text: "up" })[Symbol.asyncIterator]();
    await stream.next();
    const calls = Array.from({ length: 30 }, () => codeOf(client.unary({ text: "hang" })));
    // Behind them on the same connection: when it is answered, they have arrived.
    await client.unary({ text: "up" });
    const killedAt = performance.now();
    first.child.kill("SIGKILL");
    const codes = await Promise.all([...calls, codeOf(stream.next())]);
    expect(performance.now() - killedAt).toBeLessThan(3_000);
    expect(codes).toEqual(Array.from({ length: 31 }, () => "Unavailable"));

    expect(await codeOf(client.unary({ text: "down" }))).toBe("Unavailable");
    await startChild(first.port);
    await expect
      .poll(() => codeOf(client.unary({ text: "up again" })), { timeout: 15_000, interval: 100 })
      .toBe("answered");
  });
});

describe("a server that is shut down", () => {
  it("fails what is still under way after its patience as Unavailable", async () => {
    const arrived = Promise.withResolvers<void>();
    const listener = await startEcho({
      unary: () => {
        arrived.resolve();
        return new Promise(() => {});
      },
    });
    const client = connect(listener.port);
    const call = codeOf(client.unary({}));
    const stream = client.server({ text: "" })[Symbol.asyncIterator]();
    await Promise.all([arrived.promise, stream.next()]);
    await listener.stop(50);
    expect(await call).toBe("Unavailable");
  });
});

describe("a call", () => {
  it("carries headers both ways, and the key as a bearer token", async () => {
    const seen: string[] = [];
    const client = await echo(
      {
        async unary(_, call) {
          seen.push(call.header("authorization") ?? "", call.header("x-sent") ?? "");
          call.setHeader("x-back", "b");
          return answer("");
        },
      },
      { apiKey: "k" },
    );
    await client.unary({}, { headers: { "x-sent": "a" }, onHeader: (header) => seen.push(header.get("x-back") ?? "") });
    expect(seen).toEqual(["Bearer k", "a", "b"]);
  });

  it("takes a fresh token every time, and ends by its deadline when none comes", async () => {
    const tokens = [Promise.resolve("1"), Promise.resolve("2"), new Promise<string>(() => {})];
    const client = await echo(
      { unary: async (_, call) => answer(call.header("authorization") ?? "") },
      { token: () => tokens.shift() ?? Promise.reject(new Error("no more")), defaultTimeoutMs: 100 },
    );
    expect([(await client.unary({})).text, (await client.unary({})).text]).toEqual(["Bearer 1", "Bearer 2"]);
    expect([await codeOf(client.unary({})), await codeOf(client.unary({}))]).toEqual([
      "DeadlineExceeded",
      "Unauthenticated",
    ]);
  });

  it("has the default deadline, which its own takes the place of", async () => {
    const timeouts: number[] = [];
    const hang = async (_: unknown, call: { timeoutMs: number | undefined }) => {
      timeouts.push(Math.ceil((call.timeoutMs ?? 0) / 1_000));
      return answer("");
    };
    const client = await echo({ unary: hang });
    await client.unary({});
    await client.unary({}, { timeoutMs: 3_000 });
    await client.unary({}, { timeoutMs: 0 });
    expect(timeouts).toEqual([10, 3, 0]);
  });

  it.each([
    ["its deadline", { timeoutMs: 50 }, "DeadlineExceeded"],
    ["its signal", { abortAfterMs: 50 }, "Canceled"],
    ["a signal that has aborted before", { abortAfterMs: 0 }, "Canceled"],
  ])("that is not answered is ended by %s", async (_, { abortAfterMs, ...options }: CallEnd, code) => {
    const client = await echo({ unary: () => new Promise(() => {}) });
    const cancel = new AbortController();
    if (abortAfterMs === 0) cancel.abort();
    else if (abortAfterMs) setTimeout(() => cancel.abort(), abortAfterMs);
    expect(await codeOf(client.unary({}, { ...options, signal: cancel.signal }))).toBe(code);
  });

  it("throws the server's refusal with its details", async () => {
    const client = await echo({
      unary: () =>
        Promise.reject(
          new ConnectError("naïve #1", Code.Canceled, undefined, [{ desc: ErrorInfoSchema, value: { reason: "R" } }]),
        ),
    });
    const error = await client.unary({}).then(
      () => expect.unreachable(),
      (thrown: unknown) => ConnectError.from(thrown),
    );
    expect([error.code, error.rawMessage, error.findDetails(ErrorInfoSchema)[0]?.reason]).toEqual([
      Code.Canceled,
      "naïve #1",
      "R",
    ]);
  });

  it.each(["127.0.0.1:50051", "ftp://host:1", "http://"])("is not tried with the address %j", (address) => {
    expect(() => createGrpcTransport({ address })).toThrow(TypeError);
  });

  it("is Unavailable at once where nobody listens", async () => {
    const listener = await startEcho({});
    await listener.stop(0);
    expect(await codeOf(connect(listener.port).unary({}))).toBe("Unavailable");
  });
});

describe("a stream", () => {
  it("delivers messages that came before its failure, then the failure", async () => {
    const client = await echo({
      async *stream() {
        yield answer("1");
        yield answer("2");
        throw new ConnectError("over", Code.OutOfRange);
      },
    });
    const texts: string[] = [];
    const reading = (async () => {
      for await (const { text } of client.server({})) texts.push(text);
    })();
    expect(await codeOf(reading)).toBe("OutOfRange");
    expect(texts).toEqual(["1", "2"]);
  });

  it("has no deadline of its own, and ends the server's work by its signal", async () => {
    const ended = Promise.withResolvers<number | undefined>();
    const client = await echo({
      async *stream(_, call) {
        call.signal().addEventListener("abort", () => ended.resolve(call.timeoutMs));
        yield answer("");
        await new Promise(() => {});
      },
    });
    const cancel = new AbortController();
    const stream = client.server({}, { signal: cancel.signal })[Symbol.asyncIterator]();
    await stream.next();
    cancel.abort();
    expect(await codeOf(stream.next())).toBe("Canceled");
    expect(await ended.promise).toBeUndefined();
  });

  it("that nobody reads holds its server back", async () => {
    let yielded = 0;
    const client = await echo({
      async *stream() {
        for (;;) {
          yielded += 1;
          yield answer("x".repeat(64 * 1024));
        }
      },
    });
    const cancel = new AbortController();
    ends.push(() => cancel.abort());
    await client.server({}, { signal: cancel.signal })[Symbol.asyncIterator]().next();
    let before = -1;
    while (before !== yielded) {
      before = yielded;
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    // Windows and buffers hold some; without back-pressure it never ends.
    expect(yielded).toBeLessThan(200);
  });

  it("goes from the client, and both ways, on a bare gRPC server", async () => {
    const client = connect(await bareServer());
    async function* requests() {
      for (const text of ["a", "b", "c"]) yield { text };
    }
    expect((await client.client(requests())).text).toBe("abc");
    const texts = await Array.fromAsync(client.bidi(requests()), ({ text }) => text);
    expect(texts).toEqual(["a", "b", "c"]);
  });

  it("fails with what the caller's own messages failed with", async () => {
    const client = connect(await bareServer());
    async function* requests() {
      yield { text: "a" };
      throw new ConnectError("mine", Code.DataLoss);
    }
    expect(await codeOf(client.client(requests()))).toBe("DataLoss");
  });
});

async function bareServer(): Promise<number> {
  const server = new grpc.Server();
  const codec = {
    requestStream: true,
    requestSerialize: (message: { text: string }) =>
      Buffer.from(toBinary(EchoRequestSchema, create(EchoRequestSchema, message))),
    requestDeserialize: (bytes: Buffer) => fromBinary(EchoRequestSchema, bytes),
    responseSerialize: (message: { text: string }) => Buffer.from(toBinary(EchoResponseSchema, answer(message.text))),
    responseDeserialize: (bytes: Buffer) => fromBinary(EchoResponseSchema, bytes),
  };
  const client: grpc.handleClientStreamingCall<{ text: string }, { text: string }> = (call, callback) => {
    let text = "";
    call.on("data", (message: { text: string }) => {
      text += message.text;
    });
    call.on("end", () => callback(null, { text }));
  };
  const bidi: grpc.handleBidiStreamingCall<{ text: string }, { text: string }> = (call) => {
    call.on("data", (message: { text: string }) => call.write({ text: message.text }));
    call.on("end", () => call.end());
  };
  server.addService(
    {
      client: { ...codec, path: "/echo.v1.EchoService/Client", responseStream: false },
      bidi: { ...codec, path: "/echo.v1.EchoService/Bidi", responseStream: true },
    },
    { client, bidi },
  );
  ends.push(() => server.forceShutdown());
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    );
  });
}
