import { QuotaMode } from "../gen/tenantplane/v1/quota_check_pb.ts";
import type { Answers, OutgoingCheck } from "./check-wire.ts";
import { type QuotaResult, unanswered } from "./result.ts";
import type { Timing } from "./timing.ts";

/** A check that has no answer yet. */
export interface Waiting extends OutgoingCheck {
  readonly deadline: number;
  readonly resolve: (result: QuotaResult) => void;
  readonly reject: (error: Error) => void;
}

/** The checks of a client between question and answer, whatever carries them. */
export interface WaitingRoom extends Answers<Waiting> {
  /** Lets a check wait. It is UNDECIDED when there is no answer after `timeoutMs`. */
  enter(check: Omit<OutgoingCheck, "id">, timeoutMs: number): Promise<QuotaResult>;
  /**
   * The next checks to send, as soon as there are any and there is room for them under way; those that enter in one turn
   * of the event loop come together. Undefined when `signal` aborts, and once the room is closed and nobody waits.
   */
  take(signal: AbortSignal): Promise<readonly Waiting[] | undefined>;
  /**
   * Whoever was taken and not answered waits to be taken again, in the old order; tells how many. Those whose use would
   * count twice are UNDECIDED.
   */
  putBack(): number;
  /** Refuses everybody. */
  refuse(error: Error): void;
  /** Lets nobody in any more; resolves when everybody has gone. */
  close(): Promise<void>;
}

/** As many as the server takes in one message. */
const BATCH_MAX = 1_000;
/** About what the server works on at once for one stream; more would only wait there. */
const UNDER_WAY_MAX = 8_192;
/** A process in which more than this wait is out of hand: the rest hear at once that there is no answer. */
const WAITING_MAX = 100_000;
/** Ids are numbers of 31 bits; when they begin anew nobody waits under the old ones any more. */
const ID_MAX = 2 ** 31 - 1;

/** Makes an empty room; `onAnswer` hears of every answer before whoever asked. */
export function createWaitingRoom(
  timing: Timing,
  onAnswer: (check: OutgoingCheck, result: QuotaResult) => void,
): WaitingRoom {
  const underWay = new Map<number, Waiting>();
  let queue: Waiting[] = [];
  let lastId = 0;
  let closed = false;
  const bell = createBell(timing);
  const leave = (id: number) => {
    const waiting = underWay.get(id);
    underWay.delete(id);
    if (closed || underWay.size === UNDER_WAY_MAX - 1) bell.ring();
    return waiting;
  };
  const giveUp = (all: readonly Waiting[]) => {
    for (const { id, requestId, resolve } of all) {
      leave(id);
      resolve(unanswered(requestId));
    }
  };
  const alarm = createAlarm(timing, () => {
    const now = timing.now();
    const everybody = [...underWay.values(), ...queue];
    queue = queue.filter(({ deadline }) => deadline > now);
    giveUp(everybody.filter(({ deadline }) => deadline <= now));
    return earliestAfter(now, everybody);
  });
  return {
    enter({ tenant, entries, mode, requestId }, timeoutMs) {
      if (closed || queue.length >= WAITING_MAX) return Promise.resolve(unanswered(requestId));
      return new Promise((resolve, reject) => {
        lastId = lastId < ID_MAX ? lastId + 1 : 1;
        const deadline = timing.now() + timeoutMs;
        queue.push({ id: lastId, tenant, entries, mode, requestId, deadline, resolve, reject });
        alarm.setFor(deadline);
        bell.ring();
      });
    },
    async take(signal) {
      while (!signal.aborted) {
        const taken = moveSome(queue, underWay);
        if (taken.length > 0) return taken;
        if (closed && queue.length === 0) return undefined;
        await bell.heard(signal);
      }
      return undefined;
    },
    leave,
    settle(waiting, result) {
      onAnswer(waiting, result);
      waiting.resolve(result);
    },
    fail: (waiting, error) => waiting.reject(error),
    putBack() {
      const back = [...underWay.values()];
      giveUp(back.filter((waiting) => !isRepeatable(waiting)));
      queue = [...underWay.values(), ...queue];
      underWay.clear();
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

function isRepeatable({ requestId, mode }: Waiting): boolean {
  return requestId !== "" || mode === QuotaMode.CHECK_ONLY;
}

function moveSome(queue: Waiting[], underWay: Map<number, Waiting>): Waiting[] {
  const space = Math.min(BATCH_MAX, UNDER_WAY_MAX - underWay.size);
  const taken = space > 0 ? queue.splice(0, space) : [];
  for (const waiting of taken) underWay.set(waiting.id, waiting);
  return taken;
}

function earliestAfter(now: number, all: readonly Waiting[]): number {
  return all.reduce((next, { deadline }) => (deadline > now ? Math.min(next, deadline) : next), NEVER);
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
