import type { Ctx } from "../context.ts";
import { notFound } from "../errors.ts";
import { type MutationDeps, mutate } from "../mutation.ts";
import { requireTenant } from "../tenant/service.ts";
import { tenantName } from "../tenant/tenant.ts";
import { markDirty } from "./bucket-store.ts";
import { type StoredEvent, selectEvent, updateEvent } from "./event-store.ts";
import { eventText, type IngestDeps } from "./ingest-service.ts";
import { minuteOf } from "./window.ts";

export interface CorrectDeps extends MutationDeps, Pick<IngestDeps, "keyOf"> {
  /** Says that something is to be counted anew. */
  readonly wakeRecount: () => void;
}

/** Which event is meant. */
export interface EventRef {
  readonly tenantId: string;
  readonly source: string;
  readonly id: string;
}

/** Takes an event out of all counts. Throws RESOURCE_NOT_FOUND, for one that is taken out already, too. */
export function voidEvent(deps: CorrectDeps, ctx: Ctx, ref: EventRef): Promise<StoredEvent> {
  return correct(deps, ctx, ref, (event, now) => ({ ...event, voidedAt: now }));
}

/** Gives an event other data and counts it anew. Throws RESOURCE_NOT_FOUND. */
export function amendEvent(
  deps: CorrectDeps,
  ctx: Ctx,
  ref: EventRef,
  data: StoredEvent["data"],
): Promise<StoredEvent> {
  return correct(deps, ctx, ref, (event) => ({ ...event, data }));
}

async function correct(
  deps: CorrectDeps,
  ctx: Ctx,
  ref: EventRef,
  change: (event: StoredEvent, now: number) => StoredEvent,
): Promise<StoredEvent> {
  const { value } = await mutate(deps, ctx, tenantName(ref.tenantId), async ({ tx, now, send, record }) => {
    const tenant = await requireTenant(tx, ref.tenantId);
    const before = await selectEvent(tx, tenant.uid, deps.keyOf(eventText(ref)));
    if (!before || before.voidedAt !== null) throw notFound("UsageEvent", resourceOf(ref));
    const after = change(before, now);
    send(updateEvent(tx, after));
    send(markDirty(tx, tenant.uid, minuteOf(before.at)));
    record({
      noun: "usageEvent",
      resource: resourceOf(ref),
      tenantUid: tenant.uid,
      integratorUid: tenant.integratorUid,
      before,
      after,
      auditView: ({ source, id, type, data, voidedAt }: StoredEvent) => ({
        source,
        id,
        type,
        data,
        voided: voidedAt !== null,
      }),
    });
    return after;
  });
  if (!ctx.validateOnly) deps.wakeRecount();
  return value;
}

function resourceOf({ tenantId, source, id }: EventRef): string {
  return `${tenantName(tenantId)}/usageEvents/${source}/${id}`;
}
