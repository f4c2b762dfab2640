import { create, toBinary } from "@bufbuild/protobuf";
import {
  FlagDocument_Kind as Kind,
  type WatchFlagsRequest,
  type WatchFlagsResponse,
  WatchFlagsResponseSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/flag_watch_pb";
import type { DocumentId, TransferPiece } from "@tenantplane/sdk/replica";
import { rememberBytes } from "@tenantplane/sdk/wire";
import { parseId } from "../aip/name.ts";
import { parsePosition } from "../change/token.ts";
import type { Ctx } from "../context.ts";
import { notFound, Problems } from "../errors.ts";
import { durationMs } from "../server/convert.ts";
import { tenantName } from "../tenant/tenant.ts";
import type { FlagTable } from "./table.ts";
import type { FlagScope, Transfers } from "./transfer.ts";

export interface FlagWatchDeps {
  readonly flags: FlagTable;
  readonly transfers: Transfers;
  /** Brings the table up to now. */
  readonly refresh: () => Promise<void>;
  /** The database's id, as its tokens carry it. */
  readonly database: string;
}

/** Streams all that an evaluator needs, or what changed since a token; then every change. */
export async function* watchFlags(
  deps: FlagWatchDeps,
  ctx: Ctx,
  request: WatchFlagsRequest,
): AsyncGenerator<WatchFlagsResponse> {
  const { flags, transfers } = deps;
  const heartbeatMs = heartbeatOf(request.heartbeatInterval);
  const scope: FlagScope = request.tenant === "" ? "all" : { tenantId: parseId(request.tenant, "tenants", "tenant") };
  const token = request.resumeToken;
  let position = token === "" ? undefined : parsePosition(deps.database, token, "resume_token");
  // The token may be of a node that is ahead of this one.
  await deps.refresh();
  if (scope !== "all" && !flags.replica.facts(scope.tenantId)) throw notFound("Tenant", tenantName(scope.tenantId));
  const alarm = createAlarm(flags, ctx.signal, heartbeatMs);
  try {
    while (!ctx.signal.aborted) {
      const pieces = (position && transfers.since(position, scope)) ?? transfers.full(scope);
      position = flags.position();
      const isDue = alarm.isDue();
      if (pieces.length > 0 || isDue) alarm.restart();
      for (const piece of pieces) yield messageOf(piece);
      if (pieces.length === 0 && isDue) yield messageOf(transfers.heartbeat());
      await alarm.ringing();
    }
  } finally {
    alarm.close();
  }
}

/** How often something is sent when nothing changes. Throws INVALID_FIELDS. */
export function heartbeatOf(interval: WatchFlagsRequest["heartbeatInterval"]): number {
  const problems = new Problems();
  const heartbeatMs = durationMs(problems, "heartbeat_interval", interval, {
    fallback: 15_000,
    min: 1_000,
    max: 60_000,
  });
  problems.throwIfAny();
  return heartbeatMs;
}

/** Wakes a watcher when the flags change, when a heartbeat is due, and when its caller goes away. */
export interface Alarm {
  /** Resolves when it rings, or has rung since this was last asked. */
  ringing(): Promise<void>;
  /** Whether it is time for a heartbeat; so at the start, since a watcher wants to hear that it is heard. */
  isDue(): boolean;
  /** Counts the time to the next heartbeat from now. */
  restart(): void;
  close(): void;
}

/** Sets an alarm on a table's steps. */
export function createAlarm(flags: FlagTable, signal: AbortSignal, heartbeatMs: number): Alarm {
  let rung = false;
  let wake = () => {};
  let isDue = true;
  let timer: NodeJS.Timeout | undefined;
  const ring = () => {
    rung = true;
    wake();
  };
  const silence = flags.onStep(ring);
  signal.addEventListener("abort", ring, { once: true });
  return {
    async ringing() {
      if (!rung) await new Promise<void>((resolve) => (wake = resolve));
      rung = false;
    },
    isDue: () => isDue,
    restart() {
      isDue = false;
      clearTimeout(timer);
      timer = setTimeout(() => {
        isDue = true;
        ring();
      }, heartbeatMs);
    },
    close() {
      clearTimeout(timer);
      silence();
      signal.removeEventListener("abort", ring);
    },
  };
}

const KINDS: Readonly<Record<DocumentId["kind"], Kind>> = {
  flag: Kind.FLAG,
  segment: Kind.SEGMENT,
  group: Kind.GROUP,
  override: Kind.OVERRIDE,
  tenant: Kind.TENANT,
};

const messages = new WeakMap<TransferPiece, WatchFlagsResponse>();

// A piece goes to all who are at the same step: they are sent one message, encoded once.
function messageOf(piece: TransferPiece): WatchFlagsResponse {
  const known = messages.get(piece);
  if (known) return known;
  const { begin, commit } = piece;
  const message = create(WatchFlagsResponseSchema, {
    ...(begin ? { begin } : {}),
    puts: piece.puts.map(({ kind, key, json }) => ({ kind: KINDS[kind], key, json })),
    deletes: piece.deletes.map(({ kind, key }) => ({ kind: KINDS[kind], key })),
    memberPatches: piece.memberPatches.map(({ segment, include = [], exclude = [], remove = [] }) => ({
      segment,
      includedKeys: [...include],
      excludedKeys: [...exclude],
      removedKeys: [...remove],
    })),
    ...(commit ? { commit } : {}),
    resumeToken: piece.resumeToken,
  });
  rememberBytes(message, toBinary(WatchFlagsResponseSchema, message));
  messages.set(piece, message);
  return message;
}
