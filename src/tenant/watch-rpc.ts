import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  WatchTenantsResponse_Event_Kind as Kind,
  type WatchTenantsRequest,
  type WatchTenantsResponse,
  WatchTenantsResponseSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { rememberBytes } from "@tenantplane/sdk/wire";
import { type Filter, parseFilter } from "../aip/filter.ts";
import { matchFilter } from "../aip/filter-match.ts";
import type { Batch, Hub } from "../change/hub.ts";
import { follow, live } from "../change/service.ts";
import type { Position } from "../change/store.ts";
import { parsePosition } from "../change/token.ts";
import { type Ctx, rowScope } from "../context.ts";
import { DomainError, Problems } from "../errors.ts";
import type { Clock } from "../platform/clock.ts";
import type { RowScope, Sql } from "../platform/postgres.ts";
import { durationMs } from "../server/convert.ts";
import { toTenant } from "./convert-rpc.ts";
import { TENANT_FILTER } from "./query.ts";

import type { TenantTable } from "./table.ts";
import { filterView, type Tenant } from "./tenant.ts";

export interface WatchDeps {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly hub: Hub;
  readonly table: TenantTable;
  /** Where the table stands. */
  readonly position: () => Position;
  /** Brings the table up to now. */
  readonly refresh: () => Promise<void>;
  readonly token: (position: Position) => string;
  /** The database's id, as its tokens carry it. */
  readonly database: string;
}

type Message = MessageInitShape<typeof WatchTenantsResponseSchema>;

/** Tenants of one message of the initial state: some hundred kilobytes. */
const INITIAL_BATCH = 500;

/** Streams the caller's tenants: the initial state or the changes since a token, then every change as it happens. */
export async function* watchTenants(deps: WatchDeps, ctx: Ctx, request: WatchTenantsRequest): AsyncGenerator<Message> {
  const view = parseRequest(ctx, request);
  const subscription = deps.hub.subscribe();
  const close = () => subscription.close();
  ctx.signal.addEventListener("abort", close, { once: true });
  const resumed = request.resumeToken !== "";
  try {
    if (resumed) {
      const after = parsePosition(deps.database, request.resumeToken, "resume_token");
      try {
        yield* beat(deps, view, after, follow(deps, subscription, after));
        return;
      } catch (error) {
        const compacted = error instanceof DomainError && error.reason === "REVISION_COMPACTED";
        if (!compacted || !request.resyncOnCompaction) throw error;
      }
    }
    const position = yield* initialState(deps, view, resumed);
    yield* beat(deps, view, position, live(deps, subscription, position));
  } finally {
    ctx.signal.removeEventListener("abort", close);
    subscription.close();
  }
}

interface View {
  readonly scope: RowScope;
  readonly filter: Filter | undefined;
  readonly heartbeatMs: number;
  readonly signal: AbortSignal;
}

function parseRequest(ctx: Ctx, request: WatchTenantsRequest): View {
  const problems = new Problems();
  const range = { fallback: 15_000, min: 1_000, max: 60_000 };
  const heartbeatMs = durationMs(problems, "heartbeat_interval", request.heartbeatInterval, range);
  problems.throwIfAny();
  const filter = parseFilter(request.filter, TENANT_FILTER);
  return { scope: rowScope(ctx.principal), filter, heartbeatMs, signal: ctx.signal };
}

// Yields the state of now; returns its position. A generator of its own, so that nothing of the state is kept afterwards.
async function* initialState(deps: WatchDeps, view: View, resync: boolean): AsyncGenerator<Message, Position> {
  await deps.refresh();
  // Read in one turn of the event loop: the copy is exactly the state at the position.
  const position = deps.position();
  const tenants = deps.table.all().filter((tenant) => isVisible(view, tenant));
  for (let start = 0; start === 0 || start < tenants.length; start += INITIAL_BATCH) {
    const events = tenants
      .slice(start, start + INITIAL_BATCH)
      .map((t) => ({ kind: Kind.INITIAL, tenant: toTenant(t) }));
    const complete = start + INITIAL_BATCH >= tenants.length;
    // Only the last message can be resumed from: before it, half a state is no state.
    const resumeToken = complete ? deps.token(position) : "";
    yield { events, resumeToken, initialStateComplete: complete, resync: resync && start === 0 };
  }
  return position;
}

// Turns batches into messages, and silence into heartbeats that carry the position of what was sent: the node itself may
// be further, while this watcher still reads old changes.
async function* beat(
  deps: WatchDeps,
  view: View,
  start: Position,
  batches: AsyncGenerator<Batch>,
): AsyncGenerator<Message> {
  const { monotonic } = deps.clock;
  let newest = start;
  let sentAt = monotonic();
  let next = batches.next();
  try {
    for (;;) {
      const result = await orSilence(next, sentAt + view.heartbeatMs - monotonic());
      if (result?.done) return;
      if (result) {
        newest = result.value.position;
        next = batches.next();
      }
      const silent = monotonic() - sentAt >= view.heartbeatMs;
      const message = result ? messageOf(deps, view, result.value) : undefined;
      if (!message && !silent) continue;
      sentAt = monotonic();
      yield message ?? { resumeToken: deps.token(newest) };
    }
  } finally {
    next.catch(() => {});
  }
}

// What was awaited, or undefined when it takes longer.
function orSilence<T>(awaited: Promise<T>, ms: number): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, Math.max(0, ms), undefined);
    const done = () => clearTimeout(timer);
    awaited.then(resolve, reject).then(done);
  });
}

const shared = new WeakMap<Batch, WatchTenantsResponse>();

// All watchers that see everything are sent the same message, encoded once.
function messageOf(deps: WatchDeps, view: View, batch: Batch): Message | undefined {
  const whole = view.scope.platform && !view.filter;
  const known = whole ? shared.get(batch) : undefined;
  if (known) return known;
  const events = batch.changes.flatMap((change): NonNullable<Message["events"]> => {
    if (change.noun !== "tenant") return [];
    const before = change.before as Tenant | null;
    const after = change.after as Tenant | null;
    if (after && isVisible(view, after)) return [{ kind: Kind.UPDATED, tenant: toTenant(after) }];
    return before && isVisible(view, before) ? [{ kind: Kind.REMOVED, tenant: toTenant(after ?? before) }] : [];
  });
  if (events.length === 0) return undefined;
  const message = create(WatchTenantsResponseSchema, { events, resumeToken: deps.token(batch.position) });
  if (whole) {
    rememberBytes(message, toBinary(WatchTenantsResponseSchema, message));
    shared.set(batch, message);
  }
  return message;
}

function isVisible(view: View, tenant: Tenant): boolean {
  const { platform, tenants, integrators } = view.scope;
  const mine =
    platform ||
    tenants.includes(tenant.uid) ||
    (tenant.integratorUid !== null && integrators.includes(tenant.integratorUid));
  return mine && (!view.filter || matchFilter(view.filter, filterView(tenant)));
}
