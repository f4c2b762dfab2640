import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { followUsage } from "../../../sdk/src/quota/usage.ts";
import { quotasOf } from "./peer.ts";

/** A server whose answers are these in turn; a number is what is used, an error is thrown. */
function following(answers: (number | ConnectError)[]) {
  const stop = new AbortController();
  const pauses: number[] = [];
  const clients = quotasOf({
    getTenantQuotas() {
      const answer = answers.shift();
      if (answer instanceof ConnectError) throw answer;
      if (answers.length === 0) stop.abort();
      return { limits: [{ limitId: "daily", used: BigInt(answer ?? 0) }] };
    },
  });
  const sleep = async (ms: number) => void pauses.push(ms);
  const options = { name: "tenants/acme", everyMs: 7, sleep };
  return { pauses, usage: followUsage(clients, options, stop.signal) };
}

async function read(usage: ReturnType<typeof followUsage>, seen: number[]) {
  for await (const [limit] of usage) seen.push(Number(limit?.used));
}

describe("following usage", () => {
  it("yields at once, and whenever something has changed", async () => {
    const { usage, pauses } = following([1, 1, 2, 2, 3, 0]);
    const seen: number[] = [];
    await read(usage, seen);
    expect([seen, new Set(pauses)]).toEqual([[1, 2, 3], new Set([7])]);
  });

  it("outlives a server that is away, and throws a refusal", async () => {
    const away = () => new ConnectError("away", Code.Unavailable);
    const { usage } = following([away(), 1, away(), away(), 1, 2, new ConnectError("no", Code.PermissionDenied)]);
    const seen: number[] = [];
    await expect(read(usage, seen)).rejects.toThrow("no");
    expect(seen).toEqual([1, 2]);
  });
});
