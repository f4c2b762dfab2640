/** A systems integrator, as plain data. */
export interface Integrator {
  readonly uid: string;
  readonly integratorId: string;
  readonly displayName: string;
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** An integrator as the audit log tells of it. */
export function auditView(integrator: Integrator): Record<string, unknown> {
  return { name: `integrators/${integrator.integratorId}`, display_name: integrator.displayName };
}
