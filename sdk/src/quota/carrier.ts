import { toBinary } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { pauseAfter } from "../backoff.ts";
import {
  StreamQuotaChecksRequestSchema,
  StreamQuotaChecksResponseSchema,
} from "../gen/tenantplane/v1/quota_check_pb.ts";
import type { QuotaService } from "../gen/tenantplane/v1/quota_pb.ts";
import { bytesOf, messageOf } from "../wire.ts";
import { readAnswers, writeChecks } from "./check-wire.ts";
import { errorOf, resultOf } from "./result.ts";
import type { Timing } from "./timing.ts";
import { entriesOf } from "./use.ts";
import type { Waiting, WaitingRoom } from "./waiting-room.ts";

/** What carries checks. */
export type CheckCalls = Pick<Client<typeof QuotaService>, "streamQuotaChecks" | "batchCheckQuota">;

/** A node that restarts is back within seconds, and whoever asks is in a hurry. */
const PAUSE = { initialMs: 20, maxMs: 1_000 };
/** After so many streams in a row without an answer, something in between may not carry streams. */
const FRUITLESS_MAX = 3;
/** How long unary batches take the place of streams before one is tried again. */
const BATCHES_MS = 30_000;
/** A batch that takes longer is not worth its answers. */
const BATCH_TIMEOUT_MS = 5_000;
/** These come again however often the same is asked. */
const FINAL: ReadonlySet<Code> = new Set([
  Code.Unauthenticated,
  Code.PermissionDenied,
  Code.InvalidArgument,
  Code.NotFound,
  Code.FailedPrecondition,
]);
/** So says what can't carry streams: a server without them, or a transport that is made of `fetch`. */
const NO_STREAMS: ReadonlySet<Code> = new Set([Code.Unimplemented, Code.Unknown]);

/**
 * Carries the checks of a room to the server until `signal` aborts or the room is closed and empty: on one stream, many
 * messages under way at once; where streams don't work, in unary batches. What a broken stream left without an answer
 * goes out again, so the server may see a check twice: its request id makes it count once. An error that another attempt
 * would meet again refuses everybody who waits.
 */
export async function carryChecks(calls: CheckCalls, room: WaitingRoom, timing: Timing, signal: AbortSignal) {
  let failures = 0;
  let fruitless = 0;
  let batchesUntil = Number.NEGATIVE_INFINITY;
  const onAnswer = () => {
    failures = 0;
    fruitless = 0;
  };
  for (let batch = await room.take(signal); batch; batch = await room.take(signal)) {
    const byStream = timing.now() >= batchesUntil;
    const carry = byStream ? carryByStream : carryByBatch;
    const error = await carry(calls, room, batch, { signal, onAnswer }).then(() => undefined, ConnectError.from);
    if (error && FINAL.has(error.code)) room.refuse(error);
    if (room.putBack() === 0 && !error) continue;
    failures += 1;
    fruitless += 1;
    const unable = byStream && error !== undefined && NO_STREAMS.has(error.code);
    const byBatches = unable || (byStream && fruitless >= FRUITLESS_MAX);
    batchesUntil = byBatches ? timing.now() + BATCHES_MS : Number.NEGATIVE_INFINITY;
    if (!unable) await pause(timing, pauseAfter(failures, PAUSE, timing.random), signal);
  }
}

interface Way {
  readonly signal: AbortSignal;
  readonly onAnswer: () => void;
}

async function carryByStream(
  calls: CheckCalls,
  room: WaitingRoom,
  first: readonly Waiting[],
  { signal, onAnswer }: Way,
): Promise<void> {
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  async function* messages() {
    let batch: readonly Waiting[] | undefined = first;
    for (; batch; batch = await room.take(either)) {
      yield messageOf(StreamQuotaChecksRequestSchema, writeChecks(batch));
    }
  }
  try {
    for await (const message of calls.streamQuotaChecks(messages(), { signal: either })) {
      onAnswer();
      readAnswers(bytesOf(message) ?? toBinary(StreamQuotaChecksResponseSchema, message), room);
    }
  } finally {
    over.abort();
  }
}

async function carryByBatch(
  calls: CheckCalls,
  room: WaitingRoom,
  batch: readonly Waiting[],
  { signal, onAnswer }: Way,
): Promise<void> {
  const requests = batch.map(({ tenant, entries, mode, requestId }) => ({
    tenant,
    entries: entriesOf(entries),
    mode,
    requestId,
  }));
  const { results } = await calls.batchCheckQuota({ requests }, { signal, timeoutMs: BATCH_TIMEOUT_MS });
  onAnswer();
  for (const [index, { id }] of batch.entries()) {
    const result = results[index]?.result;
    if (result?.case === undefined) continue;
    const waiting = room.leave(id);
    if (!waiting) continue;
    if (result.case === "decision") room.settle(waiting, resultOf(result.value, waiting.requestId));
    else room.fail(waiting, errorOf(result.value));
  }
}

function pause(timing: Timing, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      stop();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const stop = timing.after(ms, done);
    signal.addEventListener("abort", done, { once: true });
  });
}
