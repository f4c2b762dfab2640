import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import type { UsageEventResultSchema, UsageEventSchema } from "@tenantplane/sdk/gen/tenantplane/v1/usage_pb";
import {
  UsageEventResult_Outcome as Outcome,
  type UsageEvent as ProtoEvent,
  UsageService,
} from "@tenantplane/sdk/gen/tenantplane/v1/usage_pb";
import { parseId } from "../aip/name.ts";
import { allows } from "../auth/permission.ts";
import type { Ctx } from "../context.ts";
import { DomainError, invalidField, notFound, Problems, permissionDenied } from "../errors.ts";
import { type FindTenant, tenantTarget } from "../server/access.ts";
import { toTimestamp } from "../server/convert.ts";
import { type Mount, mount } from "../server/handlers.ts";
import { tenantName } from "../tenant/tenant.ts";
import { amendEvent, type CorrectDeps, voidEvent } from "./correct-service.ts";
import type { UsageEvent } from "./event.ts";
import type { StoredEvent } from "./event-store.ts";
import type { FoldDeps } from "./fold-service.ts";
import type { Ingest } from "./ingest-service.ts";
import { checkBatch, parseEvent, parseQuestion, parseRange, refusalOf } from "./parse-rpc.ts";
import { queryUsage, verifyUsage } from "./query-service.ts";

export interface UsageRpcDeps extends CorrectDeps, FoldDeps {
  readonly ingest: Ingest;
  readonly findTenant: FindTenant;
}

/** Raw events are kept for longer than this. */
const VERIFY_MAX_MS = 31 * 86_400_000;

/** The handlers of UsageService. */
export function usageRpc(deps: UsageRpcDeps): Mount {
  const id = (name: string) => parseId(name, "tenants", "parent");
  return mount(UsageService, {
    reportUsage: async ({ events }, ctx) => ({ results: await takeIn(deps, ctx, events) }),
    streamUsage: async function* (requests, ctx) {
      for await (const { events } of requests) yield { results: await takeIn(deps, ctx, events) };
    },
    queryUsage: async (request, ctx) => {
      const { rows, watermarkAt } = await queryUsage(deps, ctx, parseQuestion(request));
      return {
        rows: rows.map(({ startAt, group, value, eventCount }) => ({
          startTime: toTimestamp(startAt),
          group: { ...group },
          value,
          eventCount: BigInt(eventCount),
        })),
        watermarkTime: toTimestamp(watermarkAt),
      };
    },
    voidUsageEvent: async ({ parent, source, id: eventId }, ctx) => {
      const tenantId = id(parent);
      return { event: toEvent(tenantId, await voidEvent(deps, ctx, { tenantId, source, id: eventId })) };
    },
    amendUsageEvent: async ({ parent, source, id: eventId, data }, ctx) => {
      const tenantId = id(parent);
      if (!data) throw invalidField("data", "must be set");
      const event = await amendEvent(deps, ctx, { tenantId, source, id: eventId }, data as UsageEvent["data"]);
      return { event: toEvent(tenantId, event) };
    },
    verifyUsage: async ({ parent, meter, ...times }, ctx) => {
      const problems = new Problems();
      const range = parseRange(problems, times, VERIFY_MAX_MS);
      problems.throwIfAny();
      const span = { ...range, tenantId: id(parent), meterId: parseId(meter, "meters", "meter") };
      const { differences, eventCount, watermarkAt } = await verifyUsage(deps, ctx, span);
      return {
        differences: differences.map(({ startAt, groupKey, rolledUp, counted }) => ({
          startTime: toTimestamp(startAt),
          group: JSON.parse(groupKey) as Record<string, string>,
          rolledUpValue: rolledUp,
          countedValue: counted,
        })),
        eventCount: BigInt(eventCount),
        watermarkTime: toTimestamp(watermarkAt),
      };
    },
  });
}

// Each event is judged by itself, and the good ones go in together.
async function takeIn(
  deps: UsageRpcDeps,
  ctx: Ctx,
  events: readonly ProtoEvent[],
): Promise<MessageInitShape<typeof UsageEventResultSchema>[]> {
  checkBatch(events);
  const now = deps.clock.now();
  const tenantOf = permittedTenants(deps, ctx);
  const parsed = await Promise.all(
    events.map((event) => parseEvent(event, now, tenantOf).catch((error: unknown) => refusalOf(error))),
  );
  const good = parsed.filter((event): event is UsageEvent => "tenantUid" in event);
  const outcomes = good.length === 0 || ctx.validateOnly ? [] : await deps.ingest.add(good);
  let next = 0;
  return parsed.map((event) => {
    if (!("tenantUid" in event)) return { outcome: Outcome.REFUSED, ...event };
    const outcome = outcomes[next] ?? "ACCEPTED";
    next += 1;
    return { outcome: Outcome[outcome] };
  });
}

// Each tenant of a batch is looked up and asked for once.
function permittedTenants(deps: UsageRpcDeps, ctx: Ctx) {
  const known = new Map<string, ReturnType<typeof find>>();
  const find = async (tenantId: string) => {
    const target = await tenantTarget(tenantId, ctx.principal, deps.findTenant);
    const permission = "usage.report";
    if (!allows(ctx.principal, permission, target)) throw permissionDenied(permission, tenantName(tenantId));
    const tenant = await deps.findTenant(tenantId);
    if (!tenant) throw notFound("Tenant", tenantName(tenantId));
    // What happened, happened: only a tenant that is gone takes no more.
    if (tenant.state === "DELETED") {
      throw new DomainError("TENANT_DELETED", `${tenantName(tenantId)} is deleted`, { tenant: tenantName(tenantId) });
    }
    return tenant;
  };
  return (tenantId: string) => {
    const found = known.get(tenantId) ?? find(tenantId);
    known.set(tenantId, found);
    return found;
  };
}

function toEvent(tenantId: string, event: StoredEvent): MessageInitShape<typeof UsageEventSchema> {
  const { source, id, type, at, data } = event;
  return { tenant: tenantName(tenantId), source, id, type, eventTime: toTimestamp(at), data: data as JsonObject };
}
