import { FlagService } from "@tenantplane/sdk/gen/tenantplane/v1/flag_pb";
import { type Mount, mount } from "../server/handlers.ts";
import type { FlagRpcDeps } from "./base-rpc.ts";
import { evaluateRpc } from "./evaluate-rpc.ts";
import { exchangeRpc } from "./exchange-rpc.ts";
import { flagsRpc } from "./flag-rpc.ts";
import { groupRpc } from "./group-rpc.ts";
import { overrideRpc } from "./override-rpc.ts";
import { previewRpc } from "./preview-rpc.ts";
import { scheduleRpc } from "./schedule-rpc.ts";
import { segmentRpc } from "./segment-rpc.ts";
import { usageRpc } from "./usage-rpc.ts";
import { watchEvaluations } from "./values-rpc.ts";
import { watchFlags } from "./watch-rpc.ts";

/** The handlers of FlagService. */
export function flagRpc(deps: FlagRpcDeps): Mount {
  return mount(FlagService, {
    ...flagsRpc(deps),
    ...segmentRpc(deps),
    ...groupRpc(deps),
    ...overrideRpc(deps),
    ...scheduleRpc(deps),
    ...evaluateRpc(deps),
    ...previewRpc(deps),
    ...usageRpc(deps),
    ...exchangeRpc(deps),
    watchFlags: (request, ctx) => watchFlags(deps, ctx, request),
    watchFlagEvaluations: (request, ctx) => watchEvaluations(deps, ctx, request),
  });
}
