/** A systems integrator, as plain data. */
export interface Integrator {
  readonly uid: string;
  readonly integratorId: string;
  readonly displayName: string;
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}
