import type { Limit } from "../limit.ts";

/** A systems integrator, as plain data. */
export interface Integrator {
  readonly uid: string;
  readonly integratorId: string;
  readonly displayName: string;
  /** What all of its tenants may use together. */
  readonly limits: readonly Limit[];
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** An integrator as the audit log tells of it. */
export function auditView(integrator: Integrator): Record<string, unknown> {
  const { integratorId, displayName, limits } = integrator;
  return { name: `integrators/${integratorId}`, display_name: displayName, limits };
}
