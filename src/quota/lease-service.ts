import { DomainError } from "../errors.ts";
import { PLATFORM_SCOPE, type Tx, writeAs } from "../platform/postgres.ts";
import { inactive } from "./check-service.ts";
import type { Lease, LeaseCall, LeaseRenewal, NewLease } from "./checks.ts";
import type { Decision } from "./decision.ts";
import type { TenantQuotas } from "./effective.ts";
import { isStrict, LAPSE_GRACE_MS, type LeaseRow, leaseEnded, noLease, reportedSpent, toLease } from "./lease.ts";
import { entryOf, type LeaseDeps, restore, spendLate, type Transact, take } from "./lease-amount-service.ts";
import {
  insertLease,
  replaceLeaseHolds,
  selectLapsed,
  selectLease,
  selectLeaseByRequest,
  updateLease,
} from "./lease-store.ts";

/** The verbs of leases; see QuotaChecks for what they throw. */
export interface Leases {
  acquire(input: NewLease): Promise<{ decision: Decision; lease: Lease | undefined }>;
  renew(input: LeaseRenewal): Promise<{ decision: Decision; lease: Lease }>;
  giveBack(input: LeaseCall): Promise<number>;
  /** Ends leases whose clients have stopped without a word; answers how many. */
  lapse(limit: number): Promise<number>;
}

/** A transaction of one row that takes longer is stuck. */
const TIMEOUT_MS = 5_000;

/**
 * Makes the verbs. What is leased is taken from the hot state first and written down then: a crash in between leaves it
 * counted as used, never given twice.
 */
export function createLeases(deps: LeaseDeps): Leases {
  const transact: Transact = (fn) => writeAs(deps.sql, PLATFORM_SCOPE, TIMEOUT_MS, fn);
  const find = async (call: Pick<LeaseCall, "tenantId" | "leaseId">) => {
    const { tenantUid } = deps.checker.quotas(call.tenantId);
    const row = await transact((tx) => selectLease(tx, tenantUid, call.leaseId));
    if (!row) throw noLease(call);
    return row;
  };
  const end = async (row: LeaseRow, state: LeaseRow["state"], spent: number, restored: number) => {
    if (!(await transact((tx) => updateLease(tx, { ...row, state, spent })))) throw changedMeanwhile(row);
    if (restored > 0) await restore(deps, transact, row.parts, restored);
    if (state !== "LAPSED") await transact((tx) => replaceLeaseHolds(tx, { ...row, parts: [] }));
  };
  return {
    acquire: (input) => acquire(deps, transact, input),
    renew: async (input) => renew(deps, transact, input, await find(input)),
    async giveBack(input) {
      const row = await find(input);
      if (row.state === "RETURNED") return row.amount - row.spent;
      const spent = reportedSpent(row, input);
      if (row.state === "RECLAIMED") {
        await end(row, "RECLAIMED", spent, 0);
        await spendLate(deps, row, spent - row.spent);
        return 0;
      }
      await end(row, "RETURNED", spent, row.amount - spent);
      return row.amount - spent;
    },
    async lapse(limit) {
      const rows = await transact((tx) => selectLapsed(tx, deps.clock.now() - LAPSE_GRACE_MS, limit));
      for (const row of rows) {
        // What may have been spent unseen stays counted against a hard limit.
        if (isStrict(row)) await end(row, "LAPSED", row.spent, 0);
        else await end(row, "RECLAIMED", row.spent, row.amount - row.spent);
      }
      return rows.length;
    },
  };
}

async function acquire(deps: LeaseDeps, transact: Transact, input: NewLease) {
  const quotas = deps.checker.quotas(input.tenantId);
  if (quotas.state !== "ACTIVE") return { decision: inactive(quotas, [entryOf(input.meter, 0)]), lease: undefined };
  const repeated = await repeat(deps, transact, quotas, input);
  if (repeated) return repeated;
  const taken = await take(deps, quotas, input.meter, input.wantedAmount);
  if (taken.amount === 0) return { decision: taken.decision, lease: undefined };
  const { meter, ttlMs, idempotency } = input;
  const row: LeaseRow = {
    ...{ tenantUid: quotas.tenantUid, leaseId: deps.ids.uuid(), state: "ACTIVE", meter, ttlMs, spent: 0, revision: 1 },
    ...taken.kept,
    amount: taken.amount,
    expiresAt: deps.clock.now() + ttlMs,
    requestId: idempotency?.requestId ?? null,
    requestHash: idempotency?.hash ?? null,
  };
  const write = async (tx: Tx) => {
    const isNew = await insertLease(tx, row);
    if (isNew) await replaceLeaseHolds(tx, row);
    return isNew;
  };
  const isNew = await transact(write).catch(async (error: unknown) => {
    await restore(deps, transact, row.parts, row.amount);
    throw error;
  });
  if (isNew) return { decision: taken.decision, lease: toLease(input.tenantId, row) };
  // Another call of the same request was faster.
  await restore(deps, transact, row.parts, row.amount);
  return (await repeat(deps, transact, quotas, input)) ?? { decision: taken.decision, lease: undefined };
}

async function renew(deps: LeaseDeps, transact: Transact, input: LeaseRenewal, row: LeaseRow) {
  const quotas = deps.checker.quotas(input.tenantId);
  if (row.state !== "ACTIVE") throw leaseEnded(input);
  const spent = reportedSpent(row, input);
  if (quotas.state !== "ACTIVE") {
    return { decision: inactive(quotas, [entryOf(row.meter, 0)]), lease: toLease(input.tenantId, row) };
  }
  const left = row.amount - spent;
  const taken = await take(deps, quotas, row.meter, input.wantedAmount, { parts: row.parts, left });
  const ttlMs = input.ttlMs ?? row.ttlMs;
  const renewed = {
    ...row,
    ...{ spent, ttlMs, version: taken.kept.version, expiresAt: deps.clock.now() + ttlMs },
    // What is left of counts that have ended goes back to them.
    amount: taken.isOther ? spent + taken.amount : row.amount + taken.amount,
    parts: taken.isOther ? taken.kept.parts : row.parts,
  };
  const isWritten = await transact(async (tx) => {
    const written = await updateLease(tx, renewed);
    if (written && taken.isOther) await replaceLeaseHolds(tx, renewed);
    return written;
  });
  if (!isWritten) {
    await restore(deps, transact, taken.kept.parts, taken.amount);
    throw changedMeanwhile(row);
  }
  if (taken.isOther) await restore(deps, transact, row.parts, left);
  return { decision: taken.decision, lease: toLease(input.tenantId, renewed) };
}

// The same request again: the lease that it made, as it stands.
async function repeat(deps: LeaseDeps, transact: Transact, quotas: TenantQuotas, input: NewLease) {
  const { idempotency } = input;
  if (!idempotency) return undefined;
  const row = await transact((tx) => selectLeaseByRequest(tx, quotas.tenantUid, idempotency.requestId));
  if (!row) return undefined;
  if (row.requestHash !== idempotency.hash) {
    const { requestId } = idempotency;
    throw new DomainError("REQUEST_ID_REUSED", `request id ${requestId} was used with another request`, { requestId });
  }
  const { decision } = await take(deps, quotas, row.meter, 0);
  return { decision: { ...decision, replayed: true }, lease: toLease(input.tenantId, row) };
}

function changedMeanwhile({ leaseId }: LeaseRow): DomainError {
  return new DomainError("WRITE_CONFLICT", `lease ${leaseId} was written meanwhile: retry`, { lease: leaseId });
}
