import type { MembershipPatch } from "@tenantplane/sdk/evaluate";
import {
  type Flag,
  flagName,
  type Group,
  groupName,
  type Override,
  overrideName,
  type Segment,
  segmentName,
} from "./flag.ts";
import { type Schedule, scheduleName } from "./schedule.ts";

/*
 * Flags and their kin as the audit log tells of them: by the names of their fields in the API; what every write changes is
 * left out.
 */

/** A flag. */
export function viewFlag(flag: Flag): Record<string, unknown> {
  const { definition, description, owner, labels, tenantOverridable, expiresAt } = flag;
  return {
    name: flagName(definition.key),
    description,
    ...viewFlagDefinition(flag),
    tenant_overridable: tenantOverridable,
    owner,
    labels,
    expire_time: time(expiresAt),
  };
}

/** A segment; its members are told of one change at a time. */
export function viewSegment({ definition, description }: Segment): Record<string, unknown> {
  const { key, matches = [], memberBy = "" } = definition;
  return { name: segmentName(key), description, matches, member_by: memberBy };
}

/** A change to the lists of a segment. */
export function viewMembership({ segment, include = [], exclude = [], remove = [] }: MembershipPatch): object {
  return { name: segmentName(segment), included_keys: include, excluded_keys: exclude, removed_keys: remove };
}

/** A group. */
export function viewGroup({ definition, description }: Group): Record<string, unknown> {
  const { key, salt, bucketing, bucketBy = "" } = definition;
  return { name: groupName(key), description, salt, bucketing, bucket_by: bucketBy };
}

/** An override. */
export function viewOverride(override: Override): Record<string, unknown> {
  const { tenantId, flagKey, serve, reason, writer, expiresAt } = override;
  return { name: overrideName(tenantId, flagKey), serve, reason, writer, expire_time: time(expiresAt) };
}

/** A schedule. */
export function viewSchedule(schedule: Schedule): Record<string, unknown> {
  const { scheduleId, description, applyAt, changes, state, failure, finishedAt, creator } = schedule;
  return {
    name: scheduleName(scheduleId),
    ...{ description, changes, state, failure, creator },
    apply_time: time(applyAt),
    finish_time: time(finishedAt),
  };
}

/** What evaluators need of a flag. */
export function viewFlagDefinition({ definition }: Flag): Record<string, unknown> {
  return {
    kind: definition.kind,
    disabled: definition.state === "DISABLED",
    killed: definition.killed ?? false,
    variants: definition.variants,
    off_variant: definition.offVariant ?? "",
    default_serve: definition.defaultServe ?? null,
    prerequisites: definition.prerequisites ?? [],
    entitlement: definition.entitlement ?? null,
    group: definition.group ?? null,
    rules: definition.rules ?? [],
    salt: definition.salt,
    bucketing: definition.bucketing,
    bucket_by: definition.bucketBy ?? "",
    client_visible: definition.clientVisible ?? false,
    metadata: definition.metadata ?? {},
  };
}

function time(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}
