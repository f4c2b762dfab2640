import { isoTime } from "../audit/view.ts";
import { grantName } from "./grant.ts";
import { overrideName } from "./override.ts";
import type { Step } from "./resolve.ts";

/** A step on the way to an effective amount, in words. */
export interface Explanation {
  readonly kind: Step["kind"];
  readonly resource: string;
  /** 0 for what has no version. */
  readonly planVersion: number;
  readonly amount: bigint;
  readonly description: string;
}

/** Says what a step is, and who decided it and why where somebody did. */
export function explain(step: Step): Explanation {
  const { kind, amount } = step;
  switch (step.kind) {
    case "PLAN": {
      const { planId, planVersion } = step;
      const description = `version ${planVersion} of the plan`;
      return { kind, amount, resource: `plans/${planId}`, planVersion, description };
    }
    case "OVERRIDE": {
      const { override } = step;
      const description = `by ${override.creator}${until(override.expiresAt)}: ${override.reason}`;
      return { kind, amount, resource: overrideName(override), planVersion: 0, description };
    }
    case "ROLLOVER":
      return { kind, amount, resource: "", planVersion: 0, description: `${step.rollover} left of the period before` };
    case "GRANT": {
      const { grant, left } = step;
      const description = `${left} left of ${grant.amount}, by ${grant.creator}${until(grant.expiresAt)}: ${grant.reason}`;
      return { kind, amount, resource: grantName(grant), planVersion: 0, description };
    }
    case "INTEGRATOR": {
      const description = "what all of its tenants may use together";
      return { kind, amount, resource: `integrators/${step.integratorId}`, planVersion: 0, description };
    }
    default:
      return step satisfies never;
  }
}

function until(expiresAt: number | null): string {
  return expiresAt === null ? "" : ` until ${isoTime(expiresAt)}`;
}
