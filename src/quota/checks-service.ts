import { DomainError } from "../errors.ts";
import type { Clock, Ids } from "../platform/clock.ts";
import type { Sql } from "../platform/postgres.ts";
import { createAccounts } from "./account.ts";
import { createAllotments } from "./allotment-service.ts";
import { createBreaker } from "./breaker.ts";
import { createChecker, LISTED } from "./check-service.ts";
import type { Crossing, QuotaChecks } from "./checks.ts";
import { crossings } from "./crossing.ts";
import { createDecider, type Unavailable } from "./decide-service.ts";
import type { TenantQuotas } from "./effective.ts";
import { createFallback } from "./fallback.ts";
import type { Question } from "./gather.ts";
import { setGauge } from "./gauge-service.ts";
import { type HotState, MODE } from "./hot/state.ts";
import { type Journal, startJournal } from "./journal-service.ts";
import { createLanes } from "./lane-service.ts";
import { createLeases } from "./lease-service.ts";
import { startLedger } from "./ledger-service.ts";
import { createPreparer } from "./prepare.ts";
import { createReservationBook } from "./reservation-book-service.ts";
import { createReservations } from "./reservation-service.ts";
import type { Judged } from "./seen.ts";
import { readStanding } from "./standing-service.ts";
import { startUpkeep, type Upkeep } from "./upkeep-service.ts";

export interface QuotaChecksDeps {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly hot: HotState;
  /** What is decided by; undefined for a tenant that this node does not know. */
  readonly quotasOf: (tenantId: string) => TenantQuotas | undefined;
  /** Hears of every limit that went past a percentage at which a warning is due. */
  readonly onCrossing: (crossing: Crossing) => void;
  readonly onError: (error: unknown) => void;
  /** How long a check waits for the hot state. */
  readonly budgetMs: number;
  /** How long it waits for Postgres, which only the first of a tenant and one in very many needs. */
  readonly grantBudgetMs: number;
}

/** Checks, and the work in their background. */
export interface RunningChecks extends QuotaChecks, Upkeep {}

/** Starts deciding on this node: registers it, and writes its ledger from now on. */
export async function startQuotaChecks(deps: QuotaChecksDeps): Promise<RunningChecks> {
  const { sql, clock, ids, hot, quotasOf, onError, budgetMs } = deps;
  const { monotonic } = clock;
  const accounts = createAccounts();
  const ledger = await startLedger({ sql, accounts, monotonic, nodeUid: ids.uuid(), onError });
  const allotments = createAllotments({ sql, clock, hot, ledger });
  const state = createBreaker();
  const lanes = createLanes({ hot, breaker: state, monotonic, budgetMs });
  let journal: Journal | undefined;
  const decider = createDecider({
    lanes,
    accounts,
    allotments,
    postgres: createBreaker(),
    monotonic,
    grantBudgetMs: deps.grantBudgetMs,
    onError,
    onCounted: (judged) => warn(judged, deps.onCrossing),
    onLate: (question, verdict, judged) => undo(question, verdict, judged),
  });
  const undo = (question: Question, verdict: Unavailable, judged: readonly Judged[]) => {
    if (verdict.admitted) return journal?.add(question.parts, -1);
    // With a request id it is the answer to a retry.
    if (question.answer) return;
    const counted = judged.filter(({ added }) => added > 0);
    const parts = counted.map(({ part, added }) => ({ ...part, amount: added }));
    const refs = counted.map(({ epoch, facts }) => ({ epoch, mark: facts.mark, spent: 0 }));
    const { rootUid } = question;
    if (parts.length > 0) decider.decide({ rootUid, mode: MODE.RELEASE, parts, refs }).catch(onError);
  };
  journal = startJournal({ allotments, decider, onError });
  const preparer = createPreparer(accounts);
  const parts = { sql, clock, ids, decider, preparer, allotments, onError };
  const fallback = createFallback();
  const checker = createChecker({ quotasOf, preparer, decider, fallback, journal, monotonic, newId: ids.uuid });
  const reservations = createReservations({ ...parts, checker, book: createReservationBook(sql) });
  const leases = createLeases({ ...parts, checker });
  return {
    check: (checks) => Promise.all(checks.map((check) => checker.check(check).catch(asResult))),
    release: async ({ tenantId, entries, idempotency }) => {
      const asked = { entries, path: LISTED, kinds: "RELEASABLE", mode: MODE.RELEASE, idempotency } as const;
      return (await checker.ask(checker.quotas(tenantId), asked)).decision;
    },
    setGauge: (input) => setGauge({ ...parts, checker }, input),
    ...reservations,
    acquireLease: leases.acquire,
    renewLease: leases.renew,
    returnLease: leases.giveBack,
    read: (tenantId, meters) => readStanding({ checker, preparer, decider }, tenantId, meters),
    ...startUpkeep({ sql, hot, accounts, monotonic, reservations, leases, journal, ledger, onError }),
  };
}

// What is wrong with one check says nothing of the others.
function asResult(error: unknown): DomainError {
  if (error instanceof DomainError) return error;
  throw error;
}

function warn(judged: readonly Judged[], onCrossing: (crossing: Crossing) => void): void {
  for (const one of judged) {
    const { effective } = one.part.limit;
    for (const { percent, used } of crossings(one)) onCrossing({ effective, percent, used });
  }
}
