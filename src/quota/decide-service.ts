import { DomainError } from "../errors.ts";
import type { AccountHolder, Accounts } from "./account.ts";
import type { Allotments } from "./allotment-service.ts";
import type { Breaker } from "./breaker.ts";
import type { Answer, Question, Ticket } from "./gather.ts";
import { MODE, type Mode } from "./hot/state.ts";
import type { Lanes } from "./lane-service.ts";
import { isCounter, type Judged, judge, type Seen, see } from "./seen.ts";
import { foresee, lackOf } from "./want.ts";

/** What became of a question. */
export type Verdict = Decided | Unavailable | { readonly status: "MOVED" };

export interface Decided {
  readonly status: "DECIDED" | "REPLAYED";
  readonly passed: boolean;
  readonly judged: readonly Judged[];
  /** When, by the hot state's clock. */
  readonly now: number;
}

/** There was no answer in time. Whoever admits all the same says so here, in case the answer comes after all. */
export interface Unavailable {
  readonly status: "UNAVAILABLE";
  admitted: boolean;
}

export interface DecideDeps {
  readonly lanes: Lanes;
  readonly accounts: Accounts;
  readonly allotments: Allotments;
  /** Of Postgres: while it is open, what was given is all there is. */
  readonly postgres: Breaker;
  readonly monotonic: () => number;
  /** How long a question may wait for Postgres. */
  readonly grantBudgetMs: number;
  /** Hears of what was counted, to warn. */
  readonly onCounted: (judged: readonly Judged[]) => void;
  readonly onError: (error: unknown) => void;
  /** Hears of what was counted after its question had been given up. */
  readonly onLate: (question: Question, verdict: Unavailable, judged: readonly Judged[]) => void;
}

/** Asks the hot state until it can decide: what it lacks is given by Postgres meanwhile. */
export interface Decider {
  /** Rejects with REQUEST_ID_REUSED and OVERLOADED. */
  decide(question: Question): Promise<Verdict>;
}

/** Grants race with other checks for what they bring, and other nodes' installations are waited for: the budget ends both. */
const TRIES_MAX = 50;

/** Makes a decider. */
export function createDecider(deps: DecideDeps): Decider {
  return {
    decide: (question) =>
      new Promise((resolve, reject) => {
        deps.lanes.submit(createTicket(deps, question, resolve, reject));
      }),
  };
}

function createTicket(
  deps: DecideDeps,
  question: Question,
  resolve: (verdict: Verdict) => void,
  reject: (error: DomainError) => void,
): Ticket {
  let mode = question.mode;
  let tries = 0;
  let startedAt = 0;
  let verdict: Verdict | undefined;
  const settle = (value: Verdict) => {
    verdict = value;
    resolve(value);
  };
  // What was given is all there is: some modes can do with that.
  const doWithout = () => {
    const without = WITHOUT_GRANTS[mode];
    if (without === undefined) return settle({ status: "UNAVAILABLE", admitted: false });
    mode = without;
    deps.lanes.submit(ticket);
  };
  const recover = (work: () => Promise<unknown>) => {
    tries += 1;
    const now = deps.monotonic();
    startedAt ||= now;
    if (tries > TRIES_MAX || !deps.postgres.allows(now)) return doWithout();
    // Whatever comes first goes on, and only once: a question that is asked twice counts twice.
    let isOver = false;
    const goOn = (next: () => void) => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      next();
    };
    // What Postgres has answered already is read before it is given up.
    const timer = setTimeout(() => setImmediate(goOn, doWithout), startedAt + deps.grantBudgetMs - now);
    work().then(
      () => {
        deps.postgres.succeeded();
        goOn(() => deps.lanes.submit(ticket));
      },
      (error: unknown) => {
        deps.postgres.failed(deps.monotonic());
        deps.onError(error);
        goOn(doWithout);
      },
    );
  };
  const ticket: Ticket = {
    ...question,
    get mode() {
      return mode;
    },
    deadline: 0,
    answered(answer) {
      const { outcome, index, reply } = answer;
      const seen = see(question.parts, answer);
      const need = needOf(deps, question, mode, answer, seen);
      if (need) return verdict ? undefined : recover(need);
      if (outcome.status === "REUSED" || outcome.status === "FULL") return reject(errorOf(outcome.status, question));
      if (!("found" in outcome)) return settle({ status: "MOVED" });
      const passed = index < outcome.fit;
      const judged = judge(seen, mode, passed, outcome.fit, index);
      if (passed && outcome.status === "DECIDED") {
        take(deps, judged);
        if (verdict?.status === "UNAVAILABLE") return deps.onLate(question, verdict, judged);
      }
      settle({ status: outcome.status, passed, judged, now: outcome.replay?.at ?? reply.now });
    },
    unanswered: () => settle({ status: "UNAVAILABLE", admitted: false }),
    refused: reject,
  };
  return ticket;
}

const WITHOUT_GRANTS: Partial<Record<Mode, Mode>> = {
  [MODE.BEST_EFFORT]: MODE.TAKE_GIVEN,
  [MODE.FORCE]: MODE.COUNT_ANYHOW,
};

function errorOf(status: "REUSED" | "FULL", { answer }: Question): DomainError {
  if (status === "FULL") return new DomainError("OVERLOADED", "too many request ids of this tenant: retry without one");
  const requestId = answer?.id ?? "";
  return new DomainError("REQUEST_ID_REUSED", `request id ${requestId} was used with another request`, { requestId });
}

// What must be done before the hot state can decide; undefined when it could.
function needOf(
  deps: DecideDeps,
  question: Question,
  mode: Mode,
  { reply, run, outcome, index }: Answer,
  seen: readonly Seen[],
): (() => Promise<unknown>) | undefined {
  if (mode === MODE.RESOLVE) return undefined;
  const cold = new Set<AccountHolder>();
  let isStale = false;
  const look = (holder: AccountHolder, epoch: number) => {
    if (epoch === 0) cold.add(holder);
    else if (epoch < holder.epoch) isStale = true;
    else holder.epoch = epoch;
  };
  for (const { part, epoch } of seen) look(part.limit.account.holder, epoch);
  if (question.answer && run.answer) look(question.answer.holder, reply.epochs[run.answer.holder] ?? 0);
  if (cold.size > 0) return () => Promise.all([...cold].map(deps.allotments.revive));
  // The answer of a state that was lost since: nothing in it counts.
  if (isStale) return () => Promise.resolve();
  if (!("fit" in outcome) || outcome.status === "REPLAYED") return undefined;
  if (index < outcome.fit || index >= outcome.capFit) return undefined;
  return () =>
    Promise.all(
      seen.flatMap((one) => {
        const want = lackOf(one, mode, outcome.fit, deps.monotonic());
        return want ? deps.allotments.give(one.part.limit.account, want) : [];
      }),
    );
}

// Takes down what was counted, and has more given before it is missed.
function take(deps: DecideDeps, judged: readonly Judged[]): void {
  const now = deps.monotonic();
  for (const one of judged) {
    const { part, facts, epoch, found, before, added } = one;
    const { account, hot } = part.limit;
    if (added === 0 || !isCounter(hot)) continue;
    deps.accounts.spend(account, epoch, facts.mark, added, now);
    const want = foresee(one, found.used + found.held + before + added, now);
    // Whoever misses it will ask again, and hear why not.
    if (want && deps.postgres.allows(now)) deps.allotments.give(account, want).catch(() => {});
  }
  deps.onCounted(judged);
}
