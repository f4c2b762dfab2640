import { describe, expect, it } from "vitest";
import { DomainError } from "../../src/errors.ts";
import { knowAbsence } from "../../src/quota/absence.ts";
import type { Check } from "../../src/quota/decision.ts";
import { decisionOf } from "../support/limit.ts";

const undecided = decisionOf([], { outcome: "UNDECIDED", reason: "DECISION_UNAVAILABLE" });
const check = (tenantId: string): Check => ({ tenantId, entries: [], mode: "CONSUME", idempotency: undefined });

/** Checks that can decide of nobody but "known"; only "new" is there besides. */
function checks() {
  const looked: string[] = [];
  let now = 0;
  const unknowing = {
    check: async (list: readonly Check[]) =>
      list.map(({ tenantId }) => (tenantId === "known" ? decisionOf([]) : undecided)),
  };
  const knowing = knowAbsence(unknowing, {
    monotonic: () => now,
    async findTenant(tenantId) {
      looked.push(tenantId);
      return tenantId === "new" ? {} : undefined;
    },
  });
  const ask = async (...tenantIds: string[]) =>
    (await knowing.check(tenantIds.map(check))).map((result) =>
      result instanceof DomainError ? result.reason : result.outcome,
    );
  return { ask, looked, wait: (ms: number) => (now += ms) };
}

describe("a check of a tenant that does not exist", () => {
  it("is RESOURCE_NOT_FOUND; of one that this node has not heard of yet it stays UNDECIDED", async () => {
    const { ask } = checks();
    expect(await ask("known", "nobody", "new")).toEqual(["ALLOW", "RESOURCE_NOT_FOUND", "UNDECIDED"]);
  });

  it("looks for it once a second, and for one that is known never", async () => {
    const { ask, looked, wait } = checks();
    await ask("nobody", "known");
    wait(999);
    await ask("nobody", "known");
    expect(looked).toEqual(["nobody"]);
    wait(1);
    await ask("nobody");
    expect(looked).toEqual(["nobody", "nobody"]);
  });
});
