import { DomainError, notFound } from "../errors.ts";
import { tenantName } from "../tenant/tenant.ts";
import { askerOf, type Composed, compose, type Kinds, type Path } from "./compose.ts";
import type { Decider, Verdict } from "./decide-service.ts";
import type { Check, CheckMode, Decision, Entry, LimitState } from "./decision.ts";
import type { TenantQuotas } from "./effective.ts";
import { type Fallback, fallbackDecision, undecided } from "./fallback.ts";
import type { Ref } from "./gather.ts";
import { MODE, type Mode } from "./hot/state.ts";
import type { Journal } from "./journal-service.ts";
import { certainMs, refuses, stateOf, toDecision } from "./judge.ts";
import type { Part, Preparer } from "./prepare.ts";
import type { Judged } from "./seen.ts";

export interface CheckDeps {
  readonly quotasOf: (tenantId: string) => TenantQuotas | undefined;
  readonly preparer: Preparer;
  readonly decider: Decider;
  readonly fallback: Fallback;
  readonly journal: Journal;
  readonly monotonic: () => number;
  readonly newId: () => string;
}

/** Decides checks, and what else is decided like them. */
export interface Checker {
  check(check: Check): Promise<Decision>;
  /** Composes entries and decides them in a mode, of a tenant in whatever state. */
  ask(quotas: TenantQuotas, asked: Asked): Promise<Asking>;
  /** A tenant's limits. Throws RESOURCE_NOT_FOUND. */
  quotas(tenantId: string): TenantQuotas;
}

/** Entries to decide. */
export interface Asked {
  readonly entries: readonly Entry[];
  readonly path: Path;
  readonly kinds: Kinds;
  readonly mode: Mode;
  readonly idempotency: Check["idempotency"];
  /** Only the state may admit it, never a policy in its place. */
  readonly isStateful?: boolean;
  /** Of HOLD: what is held, and by what reservation. */
  readonly refs?: readonly Ref[];
  readonly reservationId?: string;
}

/** What came of it. */
export interface Asking {
  readonly decision: Decision;
  readonly parts: readonly Part[];
  readonly verdict: Verdict | undefined;
}

/** Makes a checker. */
export function createChecker(deps: CheckDeps): Checker {
  const { preparer, decider, monotonic } = deps;
  const ask = async (quotas: TenantQuotas, { idempotency, mode, refs, reservationId, isStateful, ...asked }: Asked) => {
    const composed = compose(preparer, quotas, asked.entries, {
      ...asked,
      nameSlot: (entry) => (idempotency ? `${idempotency.requestId}.${entry}` : deps.newId()),
    });
    if (composed instanceof DomainError) throw composed;
    const { parts } = composed;
    if (parts.length === 0) return { decision: unlimited(quotas, asked.entries, composed), parts, verdict: undefined };
    const known = mode === MODE.CONSUME && !idempotency ? knownRefusal(parts, monotonic()) : undefined;
    if (known) {
      const decision = toDecision(quotas.epoch, false, nothing(asked.entries), composed.slots, [known]);
      return { decision, parts, verdict: undefined };
    }
    const answer = askerOf(preparer, quotas, parts, idempotency);
    const question = {
      ...{ rootUid: quotas.rootUid, mode, parts, answer },
      ...(mode === MODE.RELEASE ? { refs: parts.map(() => ANY_COUNT) } : refs ? { refs } : {}),
      ...(reservationId === undefined ? {} : { reservationId }),
    };
    const verdict = await decider.decide(question);
    if (verdict.status === "MOVED" || (verdict.status === "UNAVAILABLE" && isStateful)) {
      const rest = { admittedAmounts: nothing(asked.entries), slots: composed.slots, tenantEpoch: quotas.epoch };
      return { decision: undecided(rest), parts, verdict };
    }
    return { decision: conclude(deps, quotas, asked.entries, composed, mode, verdict), parts, verdict };
  };
  return {
    async check({ tenantId, entries, mode, idempotency }) {
      const quotas = deps.quotasOf(tenantId);
      if (!quotas) return undecided({ admittedAmounts: nothing(entries), slots: noSlots(entries), tenantEpoch: 0 });
      if (quotas.state !== "ACTIVE") return inactive(quotas, entries);
      const asked = { entries, path: LISTED, kinds: "ANY", mode: MODES[mode], idempotency } as const;
      return (await ask(quotas, asked)).decision;
    },
    ask,
    quotas(tenantId) {
      const quotas = deps.quotasOf(tenantId);
      if (!quotas) throw notFound("Tenant", tenantName(tenantId));
      return quotas;
    },
  };
}

/** Entries in a list of their name, and one whose fields are the request's own. */
export const LISTED: Path = (entry, field) => `entries[${entry}].${field}`;
export const ALONE: Path = (_, field) => field;

/** What is decided of a tenant that is not ACTIVE: nothing is admitted. */
export function inactive(quotas: TenantQuotas, entries: readonly Entry[]): Decision {
  return {
    outcome: "DENY",
    reason: "TENANT_NOT_ACTIVE",
    consistency: "EXACT",
    replayed: false,
    admittedAmounts: nothing(entries),
    slots: noSlots(entries),
    limits: [],
    retryAfterMs: undefined,
    tenantEpoch: quotas.epoch,
  };
}

/** The states of limits by a verdict, each with whether it refuses. */
export function statesOf(judged: readonly Judged[], passed: boolean, now: number) {
  return judged.map((one) => {
    const refused = !passed && refuses(one, now);
    return { state: stateOf(one, refused, now), refused, one };
  });
}

const MODES: Readonly<Record<CheckMode, Mode>> = {
  CONSUME: MODE.CONSUME,
  CHECK_ONLY: MODE.CHECK_ONLY,
  BEST_EFFORT: MODE.BEST_EFFORT,
  FORCE: MODE.FORCE,
};

/** What is given back is of whatever epoch and period runs. */
const ANY_COUNT: Ref = { epoch: 0, mark: 0, spent: 0 };

function conclude(
  deps: CheckDeps,
  quotas: TenantQuotas,
  entries: readonly Entry[],
  { parts, slots }: Composed,
  mode: Mode,
  verdict: Exclude<Verdict, { status: "MOVED" }>,
): Decision {
  const rest = { slots, tenantEpoch: quotas.epoch };
  const all = entries.map(({ amount }) => amount);
  if (verdict.status === "UNAVAILABLE") {
    const allowed = !deps.journal.isFull() && deps.fallback.admits(parts, mode, deps.monotonic());
    verdict.admitted = allowed && mode !== MODE.CHECK_ONLY;
    if (verdict.admitted) deps.journal.add(parts, mode === MODE.RELEASE ? -1 : 1);
    return fallbackDecision(parts, allowed, { ...rest, admittedAmounts: allowed ? all : nothing(entries) });
  }
  const { judged, passed, now } = verdict;
  if (mode === MODE.BEST_EFFORT || mode === MODE.RELEASE) {
    return { ...partial(quotas, entries, slots, judged, mode, now), replayed: verdict.status === "REPLAYED" };
  }
  const states = statesOf(judged, passed, now);
  const decision = toDecision(quotas.epoch, passed, passed ? all : nothing(entries), slots, states);
  if (passed) return verdict.status === "REPLAYED" ? { ...decision, replayed: true } : decision;
  for (const { state, refused, one } of states) {
    const ms = refused ? certainMs(one, state, now) : 0;
    if (ms > 0) one.part.limit.exhausted = { until: deps.monotonic() + ms, asked: one.asked, state };
  }
  return decision;
}

// Of each entry what all of its limits had, or what was given back of it.
function partial(
  quotas: TenantQuotas,
  entries: readonly Entry[],
  slots: readonly string[],
  judged: readonly Judged[],
  mode: Mode,
  now: number,
): Decision {
  const amounts = entries.map(({ amount }, entry) => {
    const own = judged.filter(({ part }) => part.entry === entry);
    return own.length === 0 ? amount : Math.max(...own.map(({ found }) => found.done));
  });
  const allowed =
    mode === MODE.RELEASE || amounts.some((amount) => amount > 0) || entries.every(({ amount }) => amount === 0);
  const states = judged.map((one) => {
    const refused = mode !== MODE.RELEASE && one.added < one.asked;
    return { state: stateOf(one, refused, now), refused };
  });
  const decision = toDecision(quotas.epoch, allowed, amounts, slots, states);
  const refusing = states.filter(({ refused }) => refused).map(({ state }) => state);
  if (!allowed || refusing.length === 0) return decision;
  return { ...decision, limits: [...refusing, ...decision.limits.filter((state) => !refusing.includes(state))] };
}

function knownRefusal(parts: readonly Part[], now: number): { state: LimitState; refused: boolean } | undefined {
  for (const { limit, amount } of parts) {
    const { exhausted } = limit;
    if (exhausted && amount > 0 && amount === exhausted.asked && now < exhausted.until) {
      return { state: exhausted.state, refused: true };
    }
  }
  return undefined;
}

// Meters that no limit names for the tenant are free.
function unlimited(quotas: TenantQuotas, entries: readonly Entry[], { slots }: Composed): Decision {
  return toDecision(
    quotas.epoch,
    true,
    entries.map(({ amount }) => amount),
    slots,
    [],
  );
}

function nothing(entries: readonly Entry[]): number[] {
  return entries.map(() => 0);
}

function noSlots(entries: readonly Entry[]): string[] {
  return entries.map(() => "");
}
