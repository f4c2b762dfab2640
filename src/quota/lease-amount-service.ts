import type { Clock, Ids } from "../platform/clock.ts";
import type { Sql, Tx } from "../platform/postgres.ts";
import { ALONE, type Checker } from "./check-service.ts";
import type { Decider } from "./decide-service.ts";
import type { Decision, Entry } from "./decision.ts";
import type { TenantQuotas } from "./effective.ts";
import { difference } from "./hot/amount.ts";
import { MODE } from "./hot/state.ts";
import { type HeldPart, keepPart } from "./kept.ts";
import { type LeaseRow, leaseAmount } from "./lease.ts";
import { addAdmissions } from "./ledger-store.ts";
import type { Preparer } from "./prepare.ts";
import { isCounter, type Judged } from "./seen.ts";

export interface LeaseDeps {
  readonly sql: Sql;
  readonly checker: Checker;
  readonly decider: Decider;
  readonly preparer: Preparer;
  readonly clock: Clock;
  readonly ids: Ids;
}

/** Runs a transaction of this node. */
export type Transact = <T>(fn: (tx: Tx) => Promise<T>) => Promise<T>;

/** What was taken for a lease. */
export interface Taken {
  readonly decision: Decision;
  readonly amount: number;
  readonly kept: Pick<LeaseRow, "parts" | "version">;
  /** It was taken of other counts than the lease: a period or an epoch has ended since. */
  readonly isOther: boolean;
}

/** Looks how much is left, and takes a share of it. */
export async function take(
  { checker }: LeaseDeps,
  quotas: TenantQuotas,
  meter: string,
  wanted: number,
  lease?: { readonly parts: readonly HeldPart[]; readonly left: number },
): Promise<Taken> {
  const asked = { path: ALONE, kinds: "HOLDABLE", isStateful: true, idempotency: undefined } as const;
  const look = await checker.ask(quotas, { ...asked, entries: [entryOf(meter, 0)], mode: MODE.CHECK_ONLY });
  const judged = look.verdict && "judged" in look.verdict ? look.verdict.judged : [];
  const isOther = lease !== undefined && !isSameCount(judged, lease.parts);
  const missing = Math.max(0, wanted - (isOther ? 0 : (lease?.left ?? 0)));
  const version = look.parts.map(({ limit }) => limit.effective.version).join(" ");
  const keep = (amount: number) => ({ parts: judged.map((one) => keepPart(one, amount)), version });
  const isUnknown = look.decision.outcome === "UNDECIDED";
  if (isUnknown || missing === 0) {
    return { decision: look.decision, amount: 0, kept: keep(0), isOther: isOther && !isUnknown };
  }
  const amount = leaseAmount(missing, Math.min(missing * 2, ...judged.map(leftOf)));
  const got = await checker.ask(quotas, {
    ...asked,
    entries: [entryOf(meter, amount)],
    mode: MODE.BEST_EFFORT,
  });
  const [admitted = 0] = got.decision.outcome === "UNDECIDED" ? [0] : got.decision.admittedAmounts;
  const taken = got.verdict && "judged" in got.verdict ? got.verdict.judged : [];
  return {
    decision: got.decision,
    amount: admitted,
    kept: { parts: taken.map((one) => keepPart(one, admitted)), version },
    isOther,
  };
}

/**
 * Gives back what was not spent of a lease. In the counts that it was taken of: one that was lost since is corrected in the
 * ledger, which is what becomes of it.
 */
export async function restore(
  { decider, preparer }: LeaseDeps,
  transact: Transact,
  parts: readonly HeldPart[],
  amount: number,
): Promise<void> {
  const [first] = parts;
  if (!first || amount === 0) return;
  const asked = parts.map(({ limit, entry }) => ({ limit: preparer.kept(limit), amount, entry, slot: "" }));
  const refs = parts.map(({ epoch, mark }) => ({ epoch, mark, spent: 0 }));
  const { rootUid } = first.limit;
  const verdict = await decider.decide({ rootUid, mode: MODE.RELEASE, parts: asked, refs });
  if (!("judged" in verdict)) return;
  const lost = parts.filter((part, index) => part.limit.isCounter && isOtherCount(verdict.judged[index], part));
  if (lost.length === 0) return;
  const admissions = lost.map(({ limit, mark, epoch }) => ({
    holderUid: limit.holder.uid,
    field: limit.field,
    mark,
    epoch,
    spent: -amount,
  }));
  await transact((tx) => addAdmissions(tx, admissions));
}

/** Counts what a client reports of a lease that was taken back: it has happened. */
export async function spendLate({ decider, preparer }: LeaseDeps, row: LeaseRow, amount: number): Promise<void> {
  const parts = row.parts.map(({ limit, entry }) => ({ limit: preparer.kept(limit), amount, entry, slot: "" }));
  const [first] = row.parts;
  if (first && amount > 0) await decider.decide({ rootUid: first.limit.rootUid, mode: MODE.FORCE, parts });
}

/** A lease's only entry. */
export function entryOf(meter: string, amount: number): Entry {
  return { meter, amount, slot: undefined };
}

function isOtherCount(judged: Judged | undefined, part: HeldPart): boolean {
  if (!judged) return true;
  return judged.epoch !== part.epoch || (part.limit.isCounter && judged.facts.mark !== part.mark);
}

function isSameCount(judged: readonly Judged[], parts: readonly HeldPart[]): boolean {
  if (judged.length !== parts.length) return false;
  return judged.every((one) => {
    const part = parts.find(
      ({ limit }) => limit.field === one.part.limit.hot.field && limit.holder.uid === one.part.limit.account.holder.uid,
    );
    return part !== undefined && !isOtherCount(one, part);
  });
}

// What is left of a limit, by its cap.
function leftOf({ part, facts, found }: Judged): number {
  const { hot } = part.limit;
  if (hot.soft && !isCounter(hot)) return Number.MAX_SAFE_INTEGER;
  return Math.max(0, difference(hot.cap, facts.base) - found.used - (isCounter(hot) ? found.held : 0));
}
