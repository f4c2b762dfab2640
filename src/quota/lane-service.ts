import { DomainError } from "../errors.ts";
import type { Breaker } from "./breaker.ts";
import { createGatherer, type Gathered, type Ticket } from "./gather.ts";
import type { HotOutcome, HotReply, HotRun, HotState } from "./hot/state.ts";

export interface LaneDeps {
  readonly hot: HotState;
  readonly breaker: Breaker;
  readonly monotonic: () => number;
  /** What is not answered within it gets no answer from the state. */
  readonly budgetMs: number;
}

/** The way to the hot state: what is asked within a turn of the event loop goes out together. */
export interface Lanes {
  /** Asks; the ticket hears the answer, or that there is none in time and later perhaps the answer all the same. */
  submit(ticket: Ticket): void;
}

/** One call is being decided, one waits at the server, one is being read: with more, batches would only be smaller. */
const UNDER_WAY_MAX = 3;
/** Parts of one script call: about a millisecond of the server, which does nothing else meanwhile. */
const PARTS_MAX = 1_000;
/** Five times what a server decides within the budget; beyond it nothing would be answered in time anyway. */
const WAITING_MAX = 20_000;

interface Call {
  readonly gathered: Gathered;
  readonly deadline: number;
  expired: boolean;
}

interface Lane {
  waiting: Ticket[];
  readonly calls: Set<Call>;
  scheduled: boolean;
  timer: NodeJS.Timeout | undefined;
}

/** Makes lanes: one for all roots of a single server, one for each root of a cluster. */
export function createLanes({ hot, breaker, monotonic, budgetMs }: LaneDeps): Lanes {
  const lanes = new Map<string, Lane>();
  const gather = createGatherer();
  const schedule = (key: string, lane: Lane) => {
    if (lane.scheduled || lane.waiting.length === 0 || lane.calls.size >= UNDER_WAY_MAX) return;
    lane.scheduled = true;
    setImmediate(flush, key, lane);
  };
  const flush = (key: string, lane: Lane) => {
    lane.scheduled = false;
    const gathered = gather(lane.waiting, PARTS_MAX);
    lane.waiting = lane.waiting.slice(gathered.places.length);
    const call = { gathered, deadline: monotonic() + budgetMs, expired: false };
    lane.calls.add(call);
    hot
      .decide(gathered.batch)
      .then((reply) => {
        if (!call.expired) breaker.succeeded();
        answerAll(gathered, reply);
      })
      .catch(() => expire(call))
      .finally(() => {
        lane.calls.delete(call);
        if (lane.calls.size === 0 && lane.waiting.length === 0) close(key, lane);
        else schedule(key, lane);
      });
    watch(key, lane);
    schedule(key, lane);
  };
  const expire = (call: Call) => {
    if (call.expired) return;
    call.expired = true;
    breaker.failed(monotonic());
    for (const { ticket } of call.gathered.places) ticket.unanswered();
  };
  // One timer a lane, for what is due next. What is in the socket already is read before anything is given up.
  const watch = (key: string, lane: Lane) => {
    if (lane.timer) return;
    const due = Math.min(lane.waiting[0]?.deadline ?? Infinity, ...[...lane.calls].map(({ deadline }) => deadline));
    if (due === Infinity) return;
    lane.timer = setTimeout(() => setImmediate(look, key, lane), Math.max(1, due - monotonic()));
  };
  const look = (key: string, lane: Lane) => {
    lane.timer = undefined;
    const now = monotonic();
    for (const call of lane.calls) if (call.deadline <= now) expire(call);
    const alive = lane.waiting.findIndex((ticket) => ticket.deadline > now);
    for (const ticket of lane.waiting.splice(0, alive < 0 ? lane.waiting.length : alive)) ticket.unanswered();
    watch(key, lane);
  };
  const close = (key: string, lane: Lane) => {
    clearTimeout(lane.timer);
    lanes.delete(key);
  };
  return {
    submit(ticket) {
      const now = monotonic();
      if (!breaker.allows(now)) return ticket.unanswered();
      const key = hot.laneOf(ticket.rootUid);
      const lane = lanes.get(key) ?? { waiting: [], calls: new Set(), scheduled: false, timer: undefined };
      lanes.set(key, lane);
      if (lane.waiting.length >= WAITING_MAX) return ticket.refused(tooMany());
      ticket.deadline = now + budgetMs;
      lane.waiting.push(ticket);
      schedule(key, lane);
      watch(key, lane);
    },
  };
}

function answerAll({ batch, places }: Gathered, reply: HotReply): void {
  for (const { ticket, run, index } of places) {
    const outcome = reply.outcomes[run] as HotOutcome;
    ticket.answered({ batch, reply, run: batch.runs[run] as HotRun, outcome, index });
  }
}

function tooMany(): DomainError {
  return new DomainError("OVERLOADED", "too many checks wait: retry later");
}
