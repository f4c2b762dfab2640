/** A path into the context: names joined by dots, such as "user.email"; within a name, a dot is `\.` and a backslash `\\`. */
export type AttributePath = string;

/**
 * The reserved first names of attribute paths. A context's own attributes of these names are never read.
 *
 * `$tenant`: the tenant's facts (`TenantFacts`), such as "$tenant.plan" or "$tenant.labels.tier".
 * `$flagd`: `$flagd.flagKey`, and `$flagd.timestamp`, the current time in whole Unix seconds.
 */
export const TENANT_NAMESPACE = "$tenant";
export const FLAGD_NAMESPACE = "$flagd";

/**
 * What the platform knows of the tenant that a flag is evaluated for. Contexts show it under `$tenant`, and callers can't
 * change it.
 */
export interface TenantFacts {
  readonly id: string;
  /** Only ACTIVE tenants get anything but off variants. */
  readonly state: "CREATED" | "ACTIVE" | "SUSPENDED" | "ARCHIVED" | "DELETED";
  readonly plan?: string;
  readonly integrator?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly entitlements?: Readonly<Record<string, boolean | number | string>>;
}

/** What callers say about whom a flag is evaluated for. `targetingKey` names the subject. */
export interface EvaluationContext {
  readonly targetingKey?: string;
  readonly [attribute: string]: unknown;
}
