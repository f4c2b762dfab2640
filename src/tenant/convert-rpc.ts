import type { MessageInitShape } from "@bufbuild/protobuf";
import { Suspension_Reason, Tenant_State, type TenantSchema } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { etagOf } from "../aip/name.ts";
import { optionalTimestamp, toSettings, toTimestamp } from "../server/convert.ts";
import type { TenantState } from "./lifecycle.ts";
import { type Tenant, tenantName } from "./tenant.ts";

/** The tenant as proto has it. */
export function toTenant(tenant: Tenant): MessageInitShape<typeof TenantSchema> {
  return {
    name: tenantName(tenant.tenantId),
    uid: tenant.uid,
    displayName: tenant.displayName,
    state: toState(tenant.state),
    suspensions: tenant.suspensions.map(({ reason, message, suspendedAt }) => ({
      reason: Suspension_Reason[reason],
      message,
      suspendTime: toTimestamp(suspendedAt),
    })),
    integrator: tenant.integratorId === null ? "" : `integrators/${tenant.integratorId}`,
    plan: `plans/${tenant.planId}`,
    planVersion: tenant.planVersion,
    labels: { ...tenant.labels },
    region: tenant.region,
    settings: toSettings(tenant.settings),
    timeZone: tenant.timeZone,
    epoch: BigInt(tenant.epoch),
    etag: etagOf(tenant.uid, tenant.revision),
    createTime: toTimestamp(tenant.createdAt),
    updateTime: toTimestamp(tenant.updatedAt),
    ...optionalTimestamp("deleteTime", tenant.deletedAt),
    ...optionalTimestamp("purgeTime", tenant.purgeAt),
    legalHolds: tenant.legalHolds.map(({ placedAt, ...hold }) => ({ ...hold, placeTime: toTimestamp(placedAt) })),
  };
}

/** A state as proto has it. */
export function toState(state: TenantState): Tenant_State {
  return Tenant_State[state];
}
