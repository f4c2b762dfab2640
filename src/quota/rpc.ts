import { QuotaService } from "@tenantplane/sdk/gen/tenantplane/v1/quota_pb";
import { meterRpc } from "../meter/rpc.ts";
import { type Mount, mount } from "../server/handlers.ts";
import { CHECK_READERS } from "./check-read-rpc.ts";
import { type CheckRpcDeps, checkRpc } from "./check-rpc.ts";
import { grantRpc } from "./grant-rpc.ts";
import type { GrantDeps } from "./grant-service.ts";
import { leaseRpc, releaseRpc, reservationRpc } from "./hold-rpc.ts";
import { overrideRpc } from "./override-rpc.ts";
import { type QuotaReadRpcDeps, quotaReadRpc } from "./read-rpc.ts";

export type QuotaRpcDeps = GrantDeps & CheckRpcDeps & QuotaReadRpcDeps;

/** The handlers of QuotaService: what decides and counts, what reads, and what limits are made of. */
export function quotaRpc(deps: QuotaRpcDeps): Mount {
  const handlers = {
    ...checkRpc(deps),
    ...reservationRpc(deps),
    ...releaseRpc(deps),
    ...leaseRpc(deps),
    ...quotaReadRpc(deps),
    ...meterRpc(deps),
    ...overrideRpc(deps),
    ...grantRpc(deps),
  };
  return mount(QuotaService, handlers, CHECK_READERS);
}
