import { isoTime } from "../audit/view.ts";
import type { Limit } from "../limit.ts";

/** Changes a limit for one tenant, as plain data. */
export interface QuotaOverride {
  readonly uid: string;
  readonly tenantUid: string;
  readonly tenantId: string;
  readonly overrideId: string;
  readonly limit: Limit;
  readonly reason: string;
  readonly creator: string;
  readonly expiresAt: number | null;
  /** Its time has passed, and that is on record. */
  readonly ended: boolean;
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** The name of an override. */
export function overrideName(override: Pick<QuotaOverride, "tenantId" | "overrideId">): string {
  return `tenants/${override.tenantId}/quotaOverrides/${override.overrideId}`;
}

/** True while the override counts. */
export function inForce({ expiresAt }: Pick<QuotaOverride, "expiresAt">, at: number): boolean {
  return expiresAt === null || expiresAt > at;
}

/** The override of a limit that counts: the newest one in force. */
export function overrideOf(
  overrides: readonly QuotaOverride[],
  limitId: string,
  at: number,
): QuotaOverride | undefined {
  return overrides
    .filter((override) => override.limit.limitId === limitId && inForce(override, at))
    .sort((a, b) => b.createdAt - a.createdAt || (a.overrideId < b.overrideId ? 1 : -1))[0];
}

/** An override as the audit log tells of it. */
export function auditView(override: QuotaOverride): Record<string, unknown> {
  const { limit, reason, creator, expiresAt, ended } = override;
  return { name: overrideName(override), limit, reason, creator, expire_time: isoTime(expiresAt), ended };
}
