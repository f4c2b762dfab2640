import { QuotaDecision_Consistency, QuotaDecision_Outcome } from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import { describe, expect, it } from "vitest";
import { createQuotaClient } from "../../../sdk/src/quota/quota-client.ts";
import { createFakeTiming } from "./fake-timing.ts";
import { answering, decided, quotasOf } from "./peer.ts";

const TENANT = "tenants/acme";
const daily = { limitId: "daily", meter: "a", holder: TENANT, version: "v1" };

/** A denial by the daily limit, whose wait is over after `ms`, or never. */
function denied(ms: number | undefined) {
  const retryAfter =
    ms === undefined ? {} : { retryAfter: { seconds: BigInt(Math.floor(ms / 1_000)), nanos: (ms % 1_000) * 1e6 } };
  return decided({
    outcome: QuotaDecision_Outcome.DENY,
    reason: "QUOTA_EXHAUSTED",
    ...retryAfter,
    limits: [{ ...daily, exceeded: true, ...retryAfter }],
  });
}

/** Asks in turn, each `wait` after the one before; tells who answered, and how. The server answers from the list. */
async function ask(
  answers: ReturnType<typeof decided>[],
  questions: { meter?: string; amount?: number; waitMs?: number; force?: boolean; tenant?: string }[],
) {
  const timing = createFakeTiming();
  const left = [...answers];
  const peer = { streamQuotaChecks: answering(() => left.shift() ?? decided()) };
  const client = createQuotaClient(quotasOf(peer), { timing });
  const seen: string[] = [];
  for (const { meter = "a", amount = 1, waitMs = 0, force = false, tenant = TENANT } of questions) {
    await timing.advance(waitMs);
    const asked = client.consume(tenant, { meter, amount }, force ? { mode: "FORCE" } : {});
    await timing.advance(0);
    const { outcome, source } = await asked;
    seen.push(`${outcome} ${source}`);
  }
  await client.close();
  return seen;
}

describe("a denial that time ends", () => {
  it("answers for as long as the limit says, and no longer than a second", async () => {
    const seen = await ask(
      [denied(300), denied(86_400_000)],
      [{}, { waitMs: 299 }, { waitMs: 1 }, { waitMs: 999 }, { waitMs: 1 }],
    );
    expect(seen).toEqual(["DENY SERVER", "DENY REMEMBERED", "DENY SERVER", "DENY REMEMBERED", "ALLOW SERVER"]);
  });

  it("answers for larger amounts of the same tenant and meter alone, and never for what has happened", async () => {
    const questions = [
      { amount: 5 },
      { amount: 6 },
      { amount: 4 },
      { amount: 5, meter: "b" },
      { amount: 5, tenant: "tenants/other" },
      { amount: 5, force: true },
    ];
    expect(await ask([denied(800)], questions)).toEqual([
      "DENY SERVER",
      "DENY REMEMBERED",
      "ALLOW SERVER",
      "ALLOW SERVER",
      "ALLOW SERVER",
      "ALLOW SERVER",
    ]);
  });

  it("is forgotten as soon as an answer shows another version of the limit", async () => {
    const raised = decided({ limits: [{ ...daily, version: "v2" }] });
    const same = decided({ limits: [daily] });
    expect(await ask([denied(800), same, raised], [{ amount: 2 }, { amount: 1 }, { amount: 2 }])).toEqual([
      "DENY SERVER",
      "ALLOW SERVER",
      "DENY REMEMBERED",
    ]);
    expect(await ask([denied(800), raised], [{ amount: 2 }, { amount: 1 }, { amount: 2 }])).toEqual([
      "DENY SERVER",
      "ALLOW SERVER",
      "ALLOW SERVER",
    ]);
  });
});

describe("a denial that anybody may end", () => {
  it.each([
    ["of a gauge", denied(undefined)],
    ["by a policy", denied(800)],
    ["that is replayed", denied(800)],
  ])("%s is not remembered", async (kind, answer) => {
    if (answer.result.case === "decision") {
      if (kind === "by a policy") answer.result.value.consistency = QuotaDecision_Consistency.FALLBACK;
      if (kind === "that is replayed") answer.result.value.replayed = true;
    }
    expect(await ask([answer], [{}, {}])).toEqual(["DENY SERVER", "ALLOW SERVER"]);
  });
});
