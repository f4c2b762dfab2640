import { DomainError, notFound } from "../errors.ts";
import type { NowOrLater } from "../platform/now-or-later.ts";
import type { QuotaChecks } from "./checks.ts";
import type { Check, Decision } from "./decision.ts";

export interface AbsenceDeps {
  /** Finds a tenant, in memory or else in the database. */
  readonly findTenant: (tenantId: string) => NowOrLater<object | undefined>;
  readonly monotonic: () => number;
}

/** A name that was not there is looked for again after so long: gateways pass on whatever names their callers make up. */
const ABSENT_MS = 1_000;
/** 100 bytes each; above it all are forgotten. */
const ABSENT_MAX = 10_000;

/**
 * Makes a check of a tenant that does not exist RESOURCE_NOT_FOUND. Else it is UNDECIDED, as for a tenant that this node
 * has not heard of yet; and who fails open would let anybody through who makes up a name.
 */
export function knowAbsence<C extends Pick<QuotaChecks, "check">>(checks: C, deps: AbsenceDeps): C {
  const { findTenant, monotonic } = deps;
  const absentUntil = new Map<string, number>();
  const exists = async (tenantId: string): Promise<boolean> => {
    if ((absentUntil.get(tenantId) ?? 0) > monotonic()) return false;
    if (await findTenant(tenantId)) return true;
    if (absentUntil.size >= ABSENT_MAX) absentUntil.clear();
    absentUntil.set(tenantId, monotonic() + ABSENT_MS);
    return false;
  };
  const known = async (check: Check | undefined, result: Decision | DomainError): Promise<Decision | DomainError> =>
    !check || !isUndecided(result) || (await exists(check.tenantId))
      ? result
      : notFound("Tenant", `tenants/${check.tenantId}`);
  return {
    ...checks,
    async check(list: readonly Check[]) {
      const results = await checks.check(list);
      return results.some(isUndecided) ? Promise.all(results.map((result, i) => known(list[i], result))) : results;
    },
  };
}

function isUndecided(result: Decision | DomainError): boolean {
  return !(result instanceof DomainError) && result.outcome === "UNDECIDED";
}
