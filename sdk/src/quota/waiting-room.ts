import type { ConnectError } from "@connectrpc/connect";
import { type CheckQuotaRequest, type QuotaCheckResult, QuotaMode } from "../gen/tenantplane/v1/quota_check_pb.ts";
import type { Timing } from "./timing.ts";

/** A check that has no answer yet. */
export interface Waiting {
  readonly id: bigint;
  readonly request: CheckQuotaRequest;
  readonly deadline: number;
  readonly resolve: (result: QuotaCheckResult | undefined) => void;
  readonly reject: (error: ConnectError) => void;
}

/** The checks of a client between question and answer, whatever carries them. */
export interface WaitingRoom {
  /** Lets a check wait. The promise is undefined when there is no answer after `timeoutMs`. */
  enter(request: CheckQuotaRequest, timeoutMs: number): Promise<QuotaCheckResult | undefined>;
  /**
   * The next checks to send, as soon as there are any and there is room for them under way; those that enter in one turn
   * of the event loop come together. Undefined when `signal` aborts, and once the room is closed and nobody waits.
   */
  take(signal: AbortSignal): Promise<readonly Waiting[] | undefined>;
  answer(id: bigint, result: QuotaCheckResult): void;
  /**
   * Whoever was taken and not answered waits to be taken again, in the old order; tells how many. Those whose use would
   * count twice leave without an answer.
   */
  putBack(): number;
  /** Refuses everybody. */
  refuse(error: ConnectError): void;
  /** Lets nobody in any more; resolves when everybody has gone. */
  close(): Promise<void>;
}

/** As many as the server takes in one message. */
const BATCH_MAX = 1_000;
/** About what the server works on at once for one stream; more would only wait there. */
const UNDER_WAY_MAX = 8_192;
/** A process in which more than this wait is out of hand: the rest hear at once that there is no answer. */
const WAITING_MAX = 100_000;

/** Makes an empty room. */
export function createWaitingRoom(timing: Timing): WaitingRoom {
  const underWay = new Map<bigint, Waiting>();
  let queue: Waiting[] = [];
  let lastId = 0n;
  let closed = false;
  const bell = createBell(timing);
  const leave = (waiting: Waiting) => {
    underWay.delete(waiting.id);
    if (closed || underWay.size === UNDER_WAY_MAX - 1) bell.ring();
  };
  const alarm = createAlarm(timing, () => {
    const now = timing.now();
    const everybody = [...underWay.values(), ...queue];
    queue = queue.filter(({ deadline }) => deadline > now);
    for (const waiting of everybody) {
      if (waiting.deadline > now) continue;
      leave(waiting);
      waiting.resolve(undefined);
    }
    return everybody.reduce((next, { deadline }) => (deadline > now ? Math.min(next, deadline) : next), NEVER);
  });
  return {
    enter(request, timeoutMs) {
      if (closed || queue.length >= WAITING_MAX) return Promise.resolve(undefined);
      return new Promise((resolve, reject) => {
        lastId += 1n;
        const deadline = timing.now() + timeoutMs;
        queue.push({ id: lastId, request, deadline, resolve, reject });
        alarm.setFor(deadline);
        bell.ring();
      });
    },
    async take(signal) {
      while (!signal.aborted) {
        const space = Math.min(BATCH_MAX, UNDER_WAY_MAX - underWay.size);
        const taken = space > 0 ? queue.splice(0, space) : [];
        for (const waiting of taken) underWay.set(waiting.id, waiting);
        if (taken.length > 0) return taken;
        if (closed && queue.length === 0) return undefined;
        await bell.heard(signal);
      }
      return undefined;
    },
    answer(id, result) {
      const waiting = underWay.get(id);
      // Without: it was late, and has been told so.
      if (!waiting) return;
      leave(waiting);
      waiting.resolve(result);
    },
    putBack() {
      const back = [...underWay.values()];
      underWay.clear();
      queue = [...back.filter(isRepeatable), ...queue];
      for (const waiting of back) if (!isRepeatable(waiting)) waiting.resolve(undefined);
      if (closed) bell.ring();
      return back.length;
    },
    refuse(error) {
      for (const waiting of [...underWay.values(), ...queue]) waiting.reject(error);
      queue = [];
      underWay.clear();
      bell.ring();
    },
    async close() {
      closed = true;
      bell.ring();
      while (underWay.size + queue.length > 0) await bell.heard(NO_SIGNAL);
      alarm.stop();
    },
  };
}

function isRepeatable({ request }: Waiting): boolean {
  return request.requestId !== "" || request.mode === QuotaMode.CHECK_ONLY;
}

const NEVER = Number.POSITIVE_INFINITY;
const NO_SIGNAL = new AbortController().signal;

// Wakes whoever listens, once for all that happens in a turn of the event loop.
function createBell(timing: Timing) {
  const listeners = new Set<() => void>();
  let rung = false;
  return {
    ring() {
      if (rung) return;
      rung = true;
      timing.defer(() => {
        rung = false;
        for (const listener of listeners) listener();
      });
    },
    heard(signal: AbortSignal): Promise<void> {
      return new Promise((resolve) => {
        const done = () => {
          listeners.delete(done);
          signal.removeEventListener("abort", done);
          resolve();
        };
        listeners.add(done);
        signal.addEventListener("abort", done, { once: true });
      });
    },
  };
}

/** Deadlines are exact to within it, so that there is one timer for many. */
const ALARM_GRAIN_MS = 10;

// Calls back at the earliest of the deadlines that it was set for; `onDue` answers with the next one.
function createAlarm(timing: Timing, onDue: () => number) {
  let at = NEVER;
  let stop = () => {};
  const setFor = (deadline: number) => {
    if (deadline >= at) return;
    stop();
    at = deadline;
    stop = timing.after(Math.max(0, deadline - timing.now()) + ALARM_GRAIN_MS, () => {
      at = NEVER;
      setFor(onDue());
    });
  };
  return { setFor, stop: () => stop() };
}
