import { create } from "@bufbuild/protobuf";
import {
  type CheckQuotaRequest,
  type StreamQuotaChecksRequest,
  StreamQuotaChecksRequestSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import { describe, expect, it } from "vitest";
import { DomainError } from "../../src/errors.ts";
import { answerStream } from "../../src/quota/check-stream-rpc.ts";
import type { StreamedAnswer } from "../../src/quota/check-write-rpc.ts";

/** A message of checks with these ids; each check's tenant is its id. */
function messageOf(...ids: number[]): StreamQuotaChecksRequest {
  const checks = ids.map((id) => ({ id: BigInt(id), request: { tenant: String(id) } }));
  return create(StreamQuotaChecksRequestSchema, { checks });
}

/** The answer to a check: an error whose message is its tenant. */
function answerTo(request: CheckQuotaRequest | undefined): DomainError {
  return new DomainError("OVERLOADED", request?.tenant ?? "none");
}

const answersTo = async (requests: readonly (CheckQuotaRequest | undefined)[]) => requests.map(answerTo);
const textOf = ({ id, result }: StreamedAnswer) => `${id}:${result instanceof DomainError ? result.message : "?"}`;

describe("a stream of checks", () => {
  it("answers every check by its id, and ends when the client does", async () => {
    async function* messages() {
      yield messageOf(1, 2);
      yield messageOf(3);
    }
    const answers = await Array.fromAsync(answerStream(messages(), answersTo));
    expect(answers.flatMap((some) => some.map(textOf))).toEqual(["1:1", "2:2", "3:3"]);
  });

  it("begins later messages while earlier ones are decided, and answers what is decided first", async () => {
    const slow = Promise.withResolvers<void>();
    async function* messages() {
      yield messageOf(1);
      yield messageOf(2);
      await slow.promise;
    }
    const decide = async (requests: readonly (CheckQuotaRequest | undefined)[]) => {
      if (requests[0]?.tenant === "1") await slow.promise;
      return requests.map(answerTo);
    };
    const stream = answerStream(messages(), decide);
    const first = await stream.next();
    slow.resolve();
    const rest = await Array.fromAsync(stream);
    expect([first.value, ...rest].flatMap((some) => some?.map(textOf))).toEqual(["2:2", "1:1"]);
  });

  it("reads no further while its answers are not read", async () => {
    let read = 0;
    async function* messages() {
      for (;;) {
        read += 1;
        yield messageOf(...Array.from({ length: 1_000 }, (_, i) => i));
      }
    }
    const stream = answerStream(messages(), answersTo);
    await stream.next();
    await new Promise((resolve) => setImmediate(resolve));
    const before = read;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([read, before <= 10]).toEqual([before, true]);
    await stream.return(undefined);
  });

  it.each([
    ["without checks", messageOf()],
    ["with 1,001 checks", messageOf(...Array.from({ length: 1_001 }, (_, i) => i))],
  ])("is refused for a message %s, after the checks before it were answered", async (_, bad) => {
    async function* messages() {
      yield messageOf(1);
      yield bad;
      yield messageOf(2);
    }
    const seen: string[] = [];
    const reading = (async () => {
      for await (const some of answerStream(messages(), answersTo)) seen.push(...some.map(textOf));
    })();
    await expect(reading).rejects.toMatchObject({ reason: "INVALID_FIELDS" });
    expect(seen).toEqual(["1:1"]);
  });

  it("fails with what deciding fails with, and with what reading fails with", async () => {
    async function* one() {
      yield messageOf(1);
    }
    async function* broken() {
      yield messageOf(1);
      throw new Error("cut");
    }
    const decideNothing = () => Promise.reject(new Error("no state"));
    await expect(Array.fromAsync(answerStream(one(), decideNothing))).rejects.toThrow("no state");
    await expect(Array.fromAsync(answerStream(broken(), answersTo))).rejects.toThrow("cut");
  });
});
