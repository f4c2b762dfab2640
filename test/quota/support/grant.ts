import type { QuotaGrant } from "../../../src/quota/grant.ts";

/** A grant of messages to tenants/acme with what a test says of it; all of it can be used. */
export function grantOf(amount: bigint, of: Partial<QuotaGrant> = {}): QuotaGrant {
  return {
    uid: "g",
    tenantUid: "t1",
    tenantId: "acme",
    grantId: "g1",
    limitId: "messages",
    amount: String(amount),
    usableAmount: String(amount),
    usedAmount: "0",
    priority: 0,
    startsAt: 0,
    expiresAt: null,
    voidedAt: null,
    ended: false,
    reason: "bought",
    creator: "apiKeys/k",
    revision: 1,
    createdAt: 0,
    updatedAt: 0,
    ...of,
  };
}
