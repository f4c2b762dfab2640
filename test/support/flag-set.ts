import {
  createEvaluator,
  type Evaluator,
  type FlagChanges,
  type FlagDefinition,
  type TenantFacts,
} from "@tenantplane/sdk/evaluate";
import { re2 } from "@tenantplane/sdk/regex";
import { expect } from "vitest";

/** A tenant that may have everything. */
export const ACME: TenantFacts = {
  id: "acme",
  state: "ACTIVE",
  plan: "pro",
  labels: { tier: "gold" },
  entitlements: { sso: true, seats: 10, beta: false },
};

/** A flag that gives "red" to all, with what differs. */
export function flagOf(rest: Partial<FlagDefinition> = {}): FlagDefinition {
  return {
    key: "flag",
    kind: "string",
    state: "ENABLED",
    variants: { red: "#f00", green: "#0f0", blue: "#00f" },
    offVariant: "blue",
    defaultServe: { variant: "red" },
    salt: "salt",
    bucketing: 1,
    ...rest,
  };
}

/** An evaluator that has taken the changes without a problem. */
export function evaluatorWith(changes: FlagChanges): Evaluator {
  const evaluator = createEvaluator({ regex: re2 });
  expect(evaluator.apply(changes, "strict").problems).toEqual([]);
  return evaluator;
}
