import type { Limit } from "../limit.ts";

/** A limit as it applies to a tenant at an instant: the plan's or the integrator's, with override, grants and rollover. */
export interface EffectiveLimit {
  /** Tells apart the limits of one check: "t/" for the tenant's or "i/" for the integrator's, and the limit's id. */
  readonly key: string;
  readonly holder: Holder;
  /** The rule, mode and policies that apply; its `amount` is the one before grants and rollover. */
  readonly limit: Limit;
  /** The effective amount, 0 to 2^63-1. */
  readonly amount: bigint;
  /** What may be given away in all: the amount, beyond it the overage, and no end for SOFT and SHADOW. */
  readonly cap: bigint;
  /** Changes whenever anything behind the limit changes; cached denials are keyed by it. */
  readonly version: string;
  readonly source: "PLAN" | "OVERRIDE" | "GRANT" | "INTEGRATOR";
  /** The running period, of limits of kind PERIOD. */
  readonly window: Window | undefined;
}

/** Whose limit it is, and under which root its state is kept. */
export interface Holder {
  readonly kind: "tenant" | "integrator";
  readonly uid: string;
  /** The resource name: "tenants/acme" or "integrators/north". */
  readonly name: string;
}

/** A period: from its start to before its end. The id is unique among the periods of a limit. */
export interface Window {
  readonly id: string;
  readonly startAt: number;
  readonly endAt: number;
}

/** All that quota decisions know of a tenant. */
export interface TenantQuotas {
  readonly tenantUid: string;
  readonly tenantId: string;
  readonly state: "CREATED" | "ACTIVE" | "SUSPENDED" | "ARCHIVED" | "DELETED";
  readonly epoch: number;
  /** The uid under which all state that one check touches is kept: the integrator's, or else the tenant's own. */
  readonly rootUid: string;
  /** All limits: the tenant's by id, then the integrator's. */
  readonly limits: readonly EffectiveLimit[];
  /** The limits of each meter, the tenant's before the integrator's; a known meter without limits has an empty list. */
  limitsOf(meter: string): readonly EffectiveLimit[] | undefined;
  /** When any of the limits next changes by itself: a period, an override or a grant ends or begins. */
  readonly nextChangeAt: number;
  /** A limit counts by another rule than the period on record, which will not end by itself: the job must end it. */
  readonly replacedPeriod: boolean;
}
