import { isoTime } from "../audit/view.ts";
import { type SettingValue, settingValues } from "../setting-value.ts";
import type { LifeState } from "./lifecycle.ts";

/** A tenant, as plain data that survives JSON; instants are epoch milliseconds. */
export interface Tenant extends LifeState {
  readonly uid: string;
  readonly tenantId: string;
  readonly displayName: string;
  readonly integratorUid: string | null;
  readonly integratorId: string | null;
  readonly planUid: string;
  readonly planId: string;
  readonly planVersion: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly region: string;
  readonly settings: Readonly<Record<string, SettingValue>>;
  readonly timeZone: string;
  readonly legalHolds: readonly LegalHold[];
  /** Raised by every transition. */
  readonly epoch: number;
  /** Raised by every write. */
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** Blocks the purge of a tenant. */
export interface LegalHold {
  readonly holdId: string;
  readonly reason: string;
  readonly actor: string;
  readonly placedAt: number;
}

/** One step in a tenant's life, as its history keeps it. */
export interface Transition {
  readonly uid: string;
  readonly verb: string;
  readonly fromState: LifeState["state"] | null;
  readonly toState: LifeState["state"];
  readonly reason: string;
  readonly actor: string;
  readonly epoch: number;
  readonly at: number;
}

/** The name of a tenant. */
export function tenantName(tenantId: string): string {
  return `tenants/${tenantId}`;
}

/** A tenant as the audit log tells of it; what every write changes is left out. */
export function auditView(tenant: Tenant): Record<string, unknown> {
  const { name, display_name, state, plan, integrator, region, labels } = filterView(tenant);
  return {
    ...{ name, display_name, state, plan, integrator, region, labels },
    plan_version: tenant.planVersion,
    settings: settingValues(tenant.settings),
    time_zone: tenant.timeZone,
    epoch: tenant.epoch,
    suspensions: tenant.suspensions.map(({ reason, message, suspendedAt }) => ({
      reason,
      message,
      suspendTime: isoTime(suspendedAt),
    })),
    legal_holds: tenant.legalHolds.map(({ placedAt, ...hold }) => ({ ...hold, placeTime: isoTime(placedAt) })),
    delete_time: isoTime(tenant.deletedAt),
    purge_time: isoTime(tenant.purgeAt),
  };
}

/** A tenant as filters see it, by the fields' names in the API. */
export function filterView(tenant: Tenant): Record<string, unknown> {
  return {
    name: tenantName(tenant.tenantId),
    display_name: tenant.displayName,
    state: tenant.state,
    plan: `plans/${tenant.planId}`,
    integrator: tenant.integratorId === null ? null : `integrators/${tenant.integratorId}`,
    region: tenant.region,
    labels: tenant.labels,
    create_time: tenant.createdAt,
    update_time: tenant.updatedAt,
  };
}
