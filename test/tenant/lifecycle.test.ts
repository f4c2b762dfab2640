import { describe, expect, it } from "vitest";
import {
  ALLOWED,
  type LifeEvent,
  type LifeState,
  mayPurge,
  step,
  TENANT_STATES,
  TENANT_VERBS,
  type TenantState,
  type TenantVerb,
} from "../../src/tenant/lifecycle.ts";

const NOW = 1_000_000;
const HOLD = { holdId: "case", reason: "", actor: "", placedAt: 0 };

/** What each verb makes of each state, written down once more: the table of the code must not be its own proof. */
const MATRIX: Readonly<Record<TenantState, Partial<Record<TenantVerb, TenantState>>>> = {
  CREATED: { activate: "ACTIVE", delete: "DELETED" },
  ACTIVE: { suspend: "SUSPENDED", archive: "ARCHIVED", delete: "DELETED" },
  SUSPENDED: { suspend: "SUSPENDED", resume: "ACTIVE", archive: "ARCHIVED", delete: "DELETED" },
  ARCHIVED: { unarchive: "ACTIVE", delete: "DELETED" },
  DELETED: { undelete: "ACTIVE" },
};

function lifeIn(state: TenantState): LifeState {
  const billing = { reason: "BILLING", message: "", suspendedAt: 0 } as const;
  return {
    state,
    suspensions: state === "SUSPENDED" ? [billing] : [],
    priorState: state === "DELETED" ? "ACTIVE" : null,
    archivedFrom: state === "ARCHIVED" ? "ACTIVE" : null,
    deletedAt: state === "DELETED" ? 0 : null,
    purgeAt: state === "DELETED" ? NOW : null,
  };
}

function eventOf(verb: TenantVerb): LifeEvent {
  if (verb === "suspend") return { verb, reason: "BILLING", message: "" };
  if (verb === "resume") return { verb, reason: "BILLING" };
  return verb === "delete" ? { verb, retentionMs: 5 } : { verb };
}

describe("a step in a tenant's life", () => {
  it.each(TENANT_STATES.flatMap((state) => TENANT_VERBS.map((verb) => [state, verb] as const)))(
    "%s, %s",
    (state, verb) => {
      const to = MATRIX[state][verb];
      expect(ALLOWED[state].includes(verb)).toBe(to !== undefined);
      if (to !== undefined) expect(step("tenants/t", lifeIn(state), eventOf(verb), NOW).state).toBe(to);
      else expect(() => step("tenants/t", lifeIn(state), eventOf(verb), NOW)).toThrow(`${verb} is not allowed`);
    },
  );
});

describe("a tenant may be purged", () => {
  const deleted = { ...lifeIn("DELETED"), legalHolds: [] };

  it("from its purge time on, and not a millisecond before", () => {
    expect([mayPurge(deleted, NOW - 1), mayPurge(deleted, NOW)]).toEqual([false, true]);
  });

  it("while it is deleted and nothing holds it, and at no other time", () => {
    expect(mayPurge({ ...deleted, legalHolds: [HOLD] }, NOW)).toBe(false);
    for (const state of TENANT_STATES.filter((other) => other !== "DELETED")) {
      expect(mayPurge({ ...lifeIn(state), purgeAt: NOW, legalHolds: [] }, NOW)).toBe(false);
    }
  });
});
