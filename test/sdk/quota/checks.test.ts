import { Code, ConnectError } from "@connectrpc/connect";
import type { CheckQuotaRequest } from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import { QuotaMode } from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import { describe, expect, it } from "vitest";
import { reasonOf } from "../../../sdk/src/errors.ts";
import { createQuotaClient, type QuotaClientOptions } from "../../../sdk/src/quota/quota-client.ts";
import { createFakeTiming } from "./fake-timing.ts";
import { answering, decided, quotasOf } from "./peer.ts";

type Peer = Parameters<typeof quotasOf>[0];

/** A client on fake time, and what its server saw: the messages of streams and batches, as lists of meters. */
function connect(peer: Peer, options: QuotaClientOptions = {}) {
  const timing = createFakeTiming();
  return { timing, client: createQuotaClient(quotasOf(peer), { timing, ...options }) };
}

const away = () => new ConnectError("away", Code.Unavailable);
const TENANT = "tenants/acme";
const metersOf = (requests: readonly (CheckQuotaRequest | undefined)[]) =>
  requests.map((request) => request?.entries[0]?.meter ?? "");

describe("checks of one client", () => {
  it("travel in one message for each turn of the event loop, on one stream", async () => {
    const seen: string[][] = [];
    const { client, timing } = connect({
      async *streamQuotaChecks(messages) {
        for await (const { checks } of messages) {
          seen.push(metersOf(checks.map(({ request }) => request)));
          yield { results: checks.map(({ id }) => ({ id, result: decided() })) };
        }
      },
    });
    const first = Promise.all(["a", "b", "c"].map((meter) => client.consume(TENANT, meter)));
    await timing.advance(0);
    const second = client.check(TENANT, [{ meter: "d", amount: 2 }, { meter: "e" }]);
    await timing.advance(0);
    expect(seen).toEqual([["a", "b", "c"], ["d"]]);
    expect([...(await first), await second].map(({ outcome, source }) => [outcome, source])).toEqual(
      Array.from({ length: 4 }, () => ["ALLOW", "SERVER"]),
    );
    await client.close();
  });

  it("carry mode, amounts and slots, and a request id where something is counted", async () => {
    const seen: CheckQuotaRequest[] = [];
    const { client, timing } = connect({
      streamQuotaChecks: answering((request) => {
        seen.push(request);
        return decided();
      }),
    });
    const asked = Promise.all([
      client.check(TENANT, "a"),
      client.consume(TENANT, { meter: "b", amount: 3, slot: "s" }, { mode: "BEST_EFFORT" }),
      client.consume(TENANT, "c", { mode: "FORCE", requestId: "mine" }),
    ]);
    await timing.advance(0);
    const results = await asked;
    expect(seen.map(({ tenant, mode, entries }) => [tenant, mode, entries[0]?.amount, entries[0]?.slot])).toEqual([
      [TENANT, QuotaMode.CHECK_ONLY, undefined, ""],
      [TENANT, QuotaMode.BEST_EFFORT, 3n, "s"],
      [TENANT, QuotaMode.FORCE, undefined, ""],
    ]);
    expect(seen.map(({ requestId }) => requestId)).toEqual(["", results[1]?.requestId, "mine"]);
    expect(results[1]?.requestId).toMatch(/^[0-9a-f-]{36}$/);
    await client.close();
  });

  it("go out again with their request ids when the stream breaks, and those that were answered do not", async () => {
    const seen: string[][] = [];
    const ids: (string | undefined)[] = [];
    const { client, timing } = connect({
      async *streamQuotaChecks(messages) {
        for await (const { checks } of messages) {
          seen.push(metersOf(checks.map(({ request }) => request)));
          ids.push(checks.at(-1)?.request?.requestId);
          if (seen.length > 1) yield { results: checks.map(({ id }) => ({ id, result: decided() })) };
          else {
            yield { results: [{ id: checks[0]?.id ?? 0n, result: decided() }] };
            throw away();
          }
        }
      },
    });
    const asked = Promise.all(["a", "b"].map((meter) => client.consume(TENANT, meter)));
    await timing.advance(100);
    expect((await asked).map(({ allowed }) => allowed)).toEqual([true, true]);
    expect(seen).toEqual([["a", "b"], ["b"]]);
    expect(ids[1]).toBe(ids[0]);
    await client.close();
  });

  it("are UNDECIDED when the stream breaks and they have no request id", async () => {
    let streams = 0;
    const { client, timing } = connect(
      {
        // biome-ignore lint/correctness/useYield: it breaks before it answers
        async *streamQuotaChecks(messages) {
          streams += 1;
          for await (const _ of messages) throw away();
        },
      },
      { exactlyOnce: false },
    );
    const asked = client.consume(TENANT, "a");
    await timing.advance(0);
    expect([(await asked).outcome, (await asked).source, streams]).toEqual(["UNDECIDED", "NONE", 1]);
    await Promise.all([client.close(), timing.advance(1_000)]);
  });

  it("are UNDECIDED after their timeout, never allowed; the same id asks for the first answer", async () => {
    const ids: string[] = [];
    const { client, timing } = connect({
      async *streamQuotaChecks(messages) {
        for await (const { checks } of messages) {
          ids.push(checks[0]?.request?.requestId ?? "");
          if (ids.length > 1) yield { results: checks.map(({ id }) => ({ id, result: decided({ replayed: true }) })) };
        }
      },
    });
    const asked = client.consume(TENANT, "a", { timeoutMs: 50 });
    await timing.advance(49);
    const again = asked.then(({ requestId }) => client.consume(TENANT, "a", { requestId }));
    await timing.advance(50);
    const { outcome, allowed, reason } = (await asked) as { outcome: string; allowed: boolean; reason: string };
    expect([outcome, allowed, reason]).toEqual(["UNDECIDED", false, "DECISION_UNAVAILABLE"]);
    expect([(await again).replayed, new Set(ids).size]).toEqual([true, 1]);
    await client.close();
  });

  it("throw the refusal of one check, and answer the others", async () => {
    const { client, timing } = connect({
      async *streamQuotaChecks(messages) {
        for await (const { checks } of messages) {
          const error = { reason: "INVALID_FIELDS", message: "entries[0].meter: is unknown", code: 3 };
          yield {
            results: checks.map(({ id }, index) => ({
              id,
              result: index === 0 ? { result: { case: "error" as const, value: error } } : decided(),
            })),
          };
        }
      },
    });
    const [bad, good] = ["nope", "a"].map((meter) => client.consume(TENANT, meter));
    const refused = bad?.catch((error: unknown) => [ConnectError.from(error).code, reasonOf(error)]);
    await timing.advance(0);
    expect([await refused, (await good)?.outcome]).toEqual([[Code.InvalidArgument, "INVALID_FIELDS"], "ALLOW"]);
    await client.close();
  });

  it("throw at once what another attempt would meet again, and ask anew the next time", async () => {
    let streams = 0;
    const { client, timing } = connect({
      async *streamQuotaChecks(messages) {
        streams += 1;
        if (streams === 1) throw new ConnectError("no key", Code.Unauthenticated);
        for await (const { checks } of messages) yield { results: checks.map(({ id }) => ({ id, result: decided() })) };
      },
    });
    const refused = client.consume(TENANT, "a").catch((error: unknown) => ConnectError.from(error).code);
    await timing.advance(100);
    const next = client.consume(TENANT, "a");
    await timing.advance(100);
    expect([await refused, (await next).outcome]).toEqual([Code.Unauthenticated, "ALLOW"]);
    await client.close();
  });

  it("refuse amounts that are not whole", async () => {
    const { client } = connect({});
    expect(() => client.consume(TENANT, { meter: "a", amount: 0.5 })).toThrow(RangeError);
    await client.close();
  });
});

describe("where streams don't work", () => {
  it("unary batches take their place at once when the server or the transport has none", async () => {
    const batches: string[][] = [];
    const { client, timing } = connect({
      batchCheckQuota({ requests }) {
        batches.push(metersOf(requests));
        return { results: requests.map(() => decided()) };
      },
    });
    const asked = Promise.all(["a", "b"].map((meter) => client.consume(TENANT, meter)));
    await timing.advance(0);
    expect((await asked).map(({ outcome }) => outcome)).toEqual(["ALLOW", "ALLOW"]);
    expect(batches).toEqual([["a", "b"]]);
    await client.close();
  });

  it("they do after three streams without an answer; half a minute later a stream is tried again", async () => {
    const way: string[] = [];
    let works = false;
    const { client, timing } = connect(
      {
        async *streamQuotaChecks(messages) {
          way.push("stream");
          if (!works) throw new ConnectError("no answer through this proxy", Code.Internal);
          for await (const { checks } of messages)
            yield { results: checks.map(({ id }) => ({ id, result: decided() })) };
        },
        batchCheckQuota({ requests }) {
          way.push("batch");
          return { results: requests.map(() => decided()) };
        },
      },
      { timeoutMs: 60_000 },
    );
    const ask = async (afterMs: number) => {
      const asked = client.consume(TENANT, "a");
      await timing.advance(afterMs);
      return (await asked).outcome;
    };
    const outcomes = [await ask(1_000)];
    works = true;
    outcomes.push(await ask(29_000));
    await timing.advance(1_000);
    outcomes.push(await ask(0));
    expect([outcomes, way]).toEqual([
      ["ALLOW", "ALLOW", "ALLOW"],
      ["stream", "stream", "stream", "batch", "batch", "stream"],
    ]);
    await client.close();
  });
});

describe("a server that is away", () => {
  it("is asked again with growing pauses until the checks have waited long enough", async () => {
    let attempts = 0;
    const fail = () => {
      attempts += 1;
      throw away();
    };
    const { client, timing } = connect({ streamQuotaChecks: fail, batchCheckQuota: fail });
    const asked = client.consume(TENANT, "a");
    await timing.advance(1_020);
    // 20, 40, 80, 160, 320 ms: and the one after 640 would come too late.
    expect([(await asked).outcome, attempts]).toEqual(["UNDECIDED", 6]);
    await Promise.all([client.close(), timing.advance(1_000)]);
  });
});

describe("closing", () => {
  it("waits for the answers under way, ends the stream, and lets nothing in", async () => {
    const answer = Promise.withResolvers<void>();
    const ended: string[] = [];
    const { client, timing } = connect({
      async *streamQuotaChecks(messages) {
        for await (const { checks } of messages) {
          await answer.promise;
          yield { results: checks.map(({ id }) => ({ id, result: decided() })) };
        }
        ended.push("by the client");
      },
    });
    const asked = client.consume(TENANT, "a");
    await timing.advance(0);
    const closed = client.close().then(() => ended.push("closed"));
    const late = await client.consume(TENANT, "b");
    await timing.advance(0);
    expect([ended, late.outcome]).toEqual([[], "UNDECIDED"]);
    answer.resolve();
    await closed;
    expect([(await asked).outcome, ended]).toEqual(["ALLOW", ["by the client", "closed"]]);
  });
});
