import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { ErrorInfoSchema } from "@tenantplane/sdk/gen/google/rpc/error_details_pb";
import { rememberBytes } from "@tenantplane/sdk/wire";
import { afterEach, describe, expect, it } from "vitest";
import { EchoRequestSchema, EchoResponseSchema, EchoService } from "../support/echo/gen/echo_pb.ts";
import { answer, type EchoHandlers, startEcho } from "../support/echo/server.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface Echo {
  readonly port: number;
  readonly client: Client<typeof EchoService>;
  readonly bare: grpc.Client;
}

async function echo(handlers: EchoHandlers, options: { messageMaxBytes?: number } = {}): Promise<Echo> {
  const listener = await startEcho(handlers, options);
  ends.push(() => listener.stop(100));
  const bare = new grpc.Client(`127.0.0.1:${listener.port}`, grpc.credentials.createInsecure());
  ends.push(() => bare.close());
  const transport = createGrpcTransport({ baseUrl: `http://127.0.0.1:${listener.port}` });
  return { port: listener.port, client: createClient(EchoService, transport), bare };
}

function watch(bare: grpc.Client, text: string) {
  return bare.makeServerStreamRequest(
    "/echo.v1.EchoService/Server",
    (message: { text: string }) => Buffer.from(toBinary(EchoRequestSchema, create(EchoRequestSchema, message))),
    (bytes) => fromBinary(EchoResponseSchema, bytes),
    { text },
  );
}

async function thrown(call: Promise<unknown>): Promise<ConnectError> {
  return call.then(
    () => expect.unreachable("the call was not refused"),
    (error: unknown) => ConnectError.from(error),
  );
}

/** A promise and the function that settles it. */
function signalled<T = void>() {
  return Promise.withResolvers<T>();
}

async function* endless(text: string) {
  for (;;) yield answer(text);
}

describe("a unary call", () => {
  it("brings the caller's headers to the handler, and the handler's to the caller", async () => {
    const { client } = await echo({
      async unary(_, call) {
        call.setHeader("x-seen", call.header("x-sent") ?? "none");
        return answer(call.peer);
      },
    });
    const headers: Headers[] = [];
    const { text } = await client.unary({}, { headers: { "x-sent": "a" }, onHeader: (found) => headers.push(found) });
    expect(headers.map((found) => found.get("x-seen"))).toEqual(["a"]);
    expect(text).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  it("is refused with details, whether made here or passed on from another call", async () => {
    const info = { reason: "R", domain: "d" };
    const { client } = await echo({
      async unary() {
        const error = new ConnectError("no", Code.Aborted, undefined, [{ desc: ErrorInfoSchema, value: info }]);
        const value = toBinary(ErrorInfoSchema, create(ErrorInfoSchema, { ...info, reason: "PASSED_ON" }));
        error.details.push({ type: ErrorInfoSchema.typeName, value });
        throw error;
      },
    });
    const error = await thrown(client.unary({}));
    expect([error.code, error.rawMessage]).toEqual([Code.Aborted, "no"]);
    expect(error.findDetails(ErrorInfoSchema).map(({ reason }) => reason)).toEqual(["R", "PASSED_ON"]);
  });

  it.each([
    ["an unknown error shows nothing of itself", new Error("secret"), Code.Internal, "internal error"],
    [
      "half a surrogate pair becomes a replacement",
      new ConnectError("a\ud83d", Code.NotFound),
      Code.NotFound,
      "a\ufffd",
    ],
    [
      "a message of any script survives",
      new ConnectError("naïve 100% ☃\n", Code.NotFound),
      Code.NotFound,
      "naïve 100% ☃\n",
    ],
  ])("when it fails: %s", async (_, error, code, message) => {
    const { client } = await echo({ unary: () => Promise.reject(error) });
    const found = await thrown(client.unary({}));
    expect([found.code, found.rawMessage]).toEqual([code, message]);
  });

  it("aborts the handler's signal at the caller's deadline", async () => {
    const aborted = signalled<unknown>();
    const { client } = await echo({
      unary: (_, call) =>
        new Promise((_resolve, reject) => {
          call.signal().addEventListener("abort", () => {
            aborted.resolve(call.signal().reason);
            reject(call.signal().reason);
          });
        }),
    });
    const error = await thrown(client.unary({}, { timeoutMs: 50 }));
    expect(error.code).toBe(Code.DeadlineExceeded);
    // The caller's own cancellation, sent at its deadline, may arrive before the server's timer is due.
    expect([Code.DeadlineExceeded, Code.Canceled]).toContain(ConnectError.from(await aborted.promise).code);
  });

  it("aborts the handler's signal when the caller cancels", async () => {
    const started = signalled();
    const aborted = signalled<unknown>();
    const { client } = await echo({
      unary: (_, call) =>
        new Promise(() => {
          call.signal().addEventListener("abort", () => aborted.resolve(call.signal().reason));
          started.resolve();
        }),
    });
    const cancel = new AbortController();
    const call = thrown(client.unary({}, { signal: cancel.signal }));
    await started.promise;
    cancel.abort();
    expect((await call).code).toBe(Code.Canceled);
    expect(ConnectError.from(await aborted.promise).code).toBe(Code.Canceled);
  });

  it("leaves the signal alone when it completes", async () => {
    const signals: AbortSignal[] = [];
    const { client } = await echo({
      async unary(request, call) {
        signals.push(call.signal());
        return answer(request.text);
      },
    });
    await client.unary({}, { timeoutMs: 1_000 });
    // A second call after the first one's deadline: by then the first would have been aborted.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    await client.unary({});
    expect(signals.map((signal) => signal.aborted)).toEqual([false, false]);
  });

  it("is refused as RESOURCE_EXHAUSTED when it is larger than the bound", async () => {
    const { client } = await echo({}, { messageMaxBytes: 1_000 });
    expect((await client.unary({ text: "x".repeat(900) })).text).toHaveLength(900);
    expect((await thrown(client.unary({ text: "x".repeat(1_000) }))).code).toBe(Code.ResourceExhausted);
  });

  it("answers with remembered bytes, without encoding anew", async () => {
    const message = answer("to be encoded");
    rememberBytes(message, toBinary(EchoResponseSchema, answer("remembered")));
    const { client } = await echo({ unary: async () => message });
    expect((await client.unary({})).text).toBe("remembered");
  });
});

describe("a server stream", () => {
  it("sends headers that the handler sets once it runs, also when it fails or sends nothing", async () => {
    const { client } = await echo({
      async *stream(request, call) {
        call.setHeader("x-seen", request.text);
        if (request.text === "fails") throw new ConnectError("no", Code.NotFound);
        if (request.text === "yields") yield answer("");
      },
    });
    const seen: (string | null)[] = [];
    for (const text of ["yields", "fails", "is empty"]) {
      const stream = client.server({ text }, { onHeader: (found) => seen.push(found.get("x-seen")) });
      await Array.fromAsync(stream).catch((error: unknown) => seen.push(Code[ConnectError.from(error).code]));
    }
    expect(seen).toEqual(["yields", "fails", "NotFound", "is empty"]);
  });

  it("delivers what came before a failure, then the failure with its details", async () => {
    const { client } = await echo({
      async *stream() {
        yield answer("1");
        yield answer("2");
        throw new ConnectError("over", Code.OutOfRange, undefined, [{ desc: ErrorInfoSchema, value: { reason: "R" } }]);
      },
    });
    const texts: string[] = [];
    const reading = async () => {
      for await (const { text } of client.server({})) texts.push(text);
    };
    const error = await thrown(reading());
    expect(texts).toEqual(["1", "2"]);
    expect([error.code, error.findDetails(ErrorInfoSchema)[0]?.reason]).toEqual([Code.OutOfRange, "R"]);
  });

  it("runs the handler's finally when the caller cancels while the handler waits", async () => {
    const ended = signalled();
    const { bare } = await echo({
      async *stream(_, call) {
        try {
          yield answer("first");
          await new Promise((_resolve, reject) => {
            call.signal().addEventListener("abort", () => reject(call.signal().reason));
          });
        } finally {
          ended.resolve();
        }
      },
    });
    const stream = watch(bare, "");
    stream.on("error", () => {});
    stream.once("data", () => stream.cancel());
    await ended.promise;
  });

  it("tells an iterator to return when the caller cancels, though its next message never comes", async () => {
    const returned = signalled();
    let sent = false;
    const iterator: AsyncIterator<ReturnType<typeof answer>> = {
      next: () => {
        if (sent) return new Promise(() => {});
        sent = true;
        return Promise.resolve({ value: answer("only"), done: false });
      },
      return: async () => {
        returned.resolve();
        return { value: undefined, done: true };
      },
    };
    const { bare } = await echo({ stream: () => ({ [Symbol.asyncIterator]: () => iterator }) });
    const stream = watch(bare, "");
    stream.on("error", () => {});
    stream.once("data", () => stream.cancel());
    await returned.promise;
  });

  it("stops a handler whose reader stalls, and ends it when that reader cancels", async () => {
    const text = "x".repeat(64 * 1024);
    const ended = signalled();
    let yielded = 0;
    const { bare } = await echo({
      async *stream() {
        try {
          for await (const message of endless(text)) {
            yielded += 1;
            yield message;
          }
        } finally {
          ended.resolve();
        }
      },
    });
    const stream = watch(bare, "");
    stream.on("error", () => {});
    // Read one and no more: a client of grpc-js that has not begun to read holds nothing back.
    await new Promise((resolve) => stream.once("data", resolve));
    stream.pause();
    let before = -1;
    while (before !== yielded) {
      before = yielded;
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    // Windows and buffers hold some; an unbounded handler would have made thousands.
    expect(yielded).toBeLessThan(200);
    stream.cancel();
    await ended.promise;
  });

  it("stops a stalled handler at the caller's deadline too", async () => {
    const ended = signalled<unknown>();
    const { bare } = await echo({
      async *stream(_, call) {
        call.signal().addEventListener("abort", () => ended.resolve(call.signal().reason));
        yield* endless("x".repeat(64 * 1024));
      },
    });
    const stream = bare.makeServerStreamRequest(
      "/echo.v1.EchoService/Server",
      (bytes: Buffer) => bytes,
      (bytes) => bytes,
      Buffer.alloc(0),
      new grpc.Metadata(),
      { deadline: Date.now() + 200 },
    );
    stream.on("error", () => {});
    stream.once("data", () => stream.pause());
    // As above: the caller's cancellation may come first.
    expect([Code.DeadlineExceeded, Code.Canceled]).toContain(ConnectError.from(await ended.promise).code);
  });
});

/** A bidirectional call with nothing between the test and the library. */
function exchange(bare: grpc.Client, options: grpc.CallOptions = {}) {
  const call = bare.makeBidiStreamRequest(
    "/echo.v1.EchoService/Bidi",
    (message: { text: string }) => Buffer.from(toBinary(EchoRequestSchema, create(EchoRequestSchema, message))),
    (bytes) => fromBinary(EchoResponseSchema, bytes),
    options,
  );
  call.on("error", () => {});
  const status = new Promise<grpc.StatusObject>((resolve) => call.once("status", resolve));
  return { call, status };
}

describe("a client's stream and a bidirectional one", () => {
  it("answers each request before the next is sent, and ends when both sides have", async () => {
    const sides: string[] = [];
    const { client } = await echo({
      async *exchange(requests) {
        for await (const { text } of requests) yield answer(text);
        sides.push("the handler saw the end");
        yield answer("and one more");
      },
    });
    const answered = [signalled(), signalled()];
    const questions = async function* () {
      for (const [index, done] of answered.entries()) {
        yield { text: String(index) };
        await done.promise;
      }
      sides.push("the caller sent its end");
    };
    const texts: string[] = [];
    for await (const { text } of client.bidi(questions())) {
      texts.push(text);
      answered[Number(text)]?.resolve();
    }
    expect(texts).toEqual(["0", "1", "and one more"]);
    expect(sides).toEqual(["the caller sent its end", "the handler saw the end"]);
  });

  it("gives one answer to a client's stream", async () => {
    const { client } = await echo({
      async *exchange(requests) {
        const texts = await Array.fromAsync(requests, ({ text }) => text);
        yield answer(texts.join(" "));
      },
    });
    const words = async function* () {
      for (const text of ["one", "after", "the", "other"]) yield { text };
    };
    expect((await client.client(words())).text).toBe("one after the other");
  });

  it("may end before its caller does, whose further requests are dropped", async () => {
    const { bare } = await echo({
      async *exchange(requests, call) {
        call.setHeader("x-seen", "yes");
        for await (const { text } of requests) {
          yield answer(text);
          return;
        }
      },
    });
    const { call, status } = exchange(bare);
    const headers = new Promise<grpc.Metadata>((resolve) => call.once("metadata", resolve));
    call.write({ text: "enough" });
    const texts = await Array.fromAsync(call as AsyncIterable<{ text: string }>, ({ text }) => text);
    call.write({ text: "too late" });
    expect([texts, (await status).code]).toEqual([["enough"], grpc.status.OK]);
    expect((await headers).get("x-seen")).toEqual(["yes"]);
  });

  it("fails in the middle with its details, after what came before", async () => {
    const { client } = await echo({
      async *exchange(requests) {
        for await (const { text } of requests) {
          if (text === "bad")
            throw new ConnectError("no", Code.NotFound, undefined, [{ desc: ErrorInfoSchema, value: { reason: "R" } }]);
          yield answer(text);
        }
      },
    });
    const texts: string[] = [];
    const reading = async () => {
      const words = async function* () {
        for (const text of ["good", "bad", "unread"]) yield { text };
      };
      for await (const { text } of client.bidi(words())) texts.push(text);
    };
    const error = await thrown(reading());
    expect([texts, error.code, error.findDetails(ErrorInfoSchema)[0]?.reason]).toEqual([["good"], Code.NotFound, "R"]);
  });

  it("ends the requests, and aborts the handler's signal, when the caller cancels", async () => {
    const aborted = signalled<unknown>();
    const { bare } = await echo({
      async *exchange(requests, call) {
        call.signal().addEventListener("abort", () => aborted.resolve(call.signal().reason));
        for await (const { text } of requests) yield answer(text);
        await new Promise(() => {});
      },
    });
    const { call, status } = exchange(bare);
    call.write({ text: "first" });
    await new Promise((resolve) => call.once("data", resolve));
    call.cancel();
    expect(ConnectError.from(await aborted.promise).code).toBe(Code.Canceled);
    expect((await status).code).toBe(grpc.status.CANCELLED);
  });

  it("ends at its deadline", async () => {
    const { bare } = await echo({});
    const { call, status } = exchange(bare, { deadline: Date.now() + 100 });
    call.write({ text: "first" });
    call.resume();
    expect((await status).code).toBe(grpc.status.DEADLINE_EXCEEDED);
  });

  it("is refused as RESOURCE_EXHAUSTED at the first message that is larger than the bound", async () => {
    const { bare } = await echo({}, { messageMaxBytes: 1_000 });
    const { call, status } = exchange(bare);
    call.write({ text: "x".repeat(900) });
    await new Promise((resolve) => call.once("data", resolve));
    call.write({ text: "x".repeat(1_000) });
    expect((await status).code).toBe(grpc.status.RESOURCE_EXHAUSTED);
  });

  it("reads no further than its handler, but for a few messages", async () => {
    const goOn = signalled();
    let read = 0;
    const { bare } = await echo({
      async *exchange(requests) {
        for await (const _ of requests) {
          read += 1;
          if (read === 1) await goOn.promise;
        }
        yield answer(String(read));
      },
    });
    const { call } = exchange(bare);
    const text = "x".repeat(64 * 1024);
    const COUNT = 400;
    let sent = 0;
    const sending = (async () => {
      while (sent < COUNT) {
        sent += 1;
        if (!call.write({ text })) await new Promise((resolve) => call.once("drain", resolve));
      }
      call.end();
    })();
    let before = -1;
    while (before !== sent) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    // Windows and queues hold some; an unbounded reader would have taken all.
    expect([sent < 200, read]).toEqual([true, 1]);
    goOn.resolve();
    const texts = await Array.fromAsync(call as AsyncIterable<{ text: string }>, (message) => message.text);
    await sending;
    expect(texts).toEqual([String(COUNT)]);
  });
});

describe("the gRPC listener", () => {
  it.each(["grpc-v1", "grpc-v1alpha"])("describes its services to buf curl by reflection (%s)", async (protocol) => {
    const { port } = await echo({});
    const flags = ["--protocol", "grpc", "--http2-prior-knowledge", "--reflect", "--reflect-protocol", protocol];
    const curl = (...more: string[]) =>
      promisify(execFile)("node_modules/.bin/buf", ["curl", ...flags, ...more]).then(({ stdout }) => stdout);
    expect(await curl("--list-methods", `http://127.0.0.1:${port}`)).toContain("echo.v1.EchoService/Unary");
    const data = ["-d", '{"text":"by reflection"}', `http://127.0.0.1:${port}/echo.v1.EchoService/Unary`];
    expect(JSON.parse(await curl(...data))).toEqual({ text: "by reflection" });
  });

  it.each([
    ["", 1],
    ["echo.v1.EchoService", 1],
  ])("reports the health of %j as SERVING", async (service, status) => {
    const { bare } = await echo({});
    // HealthCheckRequest{service = 1} and HealthCheckResponse{status = 1}.
    const request = Buffer.from([...(service ? [0x0a, service.length] : []), ...Buffer.from(service)]);
    const response = await new Promise<Buffer>((resolve, reject) => {
      const same = (bytes: Buffer) => bytes;
      bare.makeUnaryRequest("/grpc.health.v1.Health/Check", same, same, request, (error, found) =>
        error ? reject(error) : resolve(found ?? Buffer.alloc(0)),
      );
    });
    expect([...response]).toEqual([0x08, status]);
  });
});
