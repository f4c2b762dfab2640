import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { pauseAfter } from "../backoff.ts";
import type { QuotaDecision, QuotaLease } from "../gen/tenantplane/v1/quota_check_pb.ts";
import type { QuotaService } from "../gen/tenantplane/v1/quota_pb.ts";
import { durationOf, millisecondsOf } from "./duration.ts";
import { createPurse, type Purse } from "./purse.ts";
import type { Timing } from "./timing.ts";

/** What keeps leases. */
export type LeaseCalls = Pick<Client<typeof QuotaService>, "acquireLease" | "renewLease" | "returnLease">;

/** How much a lease takes, and for how long. */
export interface LeaseOptions {
  /** How long the server keeps the amount for this client when it hears nothing more: 1 s to 1 h; 10 s by default. */
  readonly ttlMs?: number;
  /** What it asks for at first, and at least; 100 by default. Later it asks for what is spent in a `ttlMs`. */
  readonly amountMin?: number;
  /** The most that it asks for; no end by default. What a client has left when it dies is lost to its tenant for a while. */
  readonly amountMax?: number;
}

/** A lease that is taken, and kept until it is closed. */
export interface KeptLease {
  readonly purse: Purse;
  /** Resolves when the server has answered for the first time, whatever it said. */
  readonly ready: Promise<void>;
  /** Reports what was spent and gives the rest back. */
  close(): Promise<void>;
}

const TTL_MS = 10_000;
const AMOUNT_MIN = 100;
/** The server takes an amount back after the `ttl` and some grace; by then the client has long stopped spending it. */
const USABLE_SHARE = 0.9;
/** A tenant that has nothing left is asked for again this often: grants and new periods come unannounced. */
const NOTHING_PAUSE_MS = 1_000;
/** So a lease that has expired or was returned is answered, and one that is not there. */
const ENDED: ReadonlySet<Code> = new Set([Code.FailedPrecondition, Code.NotFound]);
const FAILURE_PAUSE = { initialMs: 50, maxMs: 2_000 };
/** A server that is away for longer takes the lease back by itself. */
const RETURN_TIMEOUT_MS = 2_000;

/** Takes a lease for a tenant and a meter, and renews it before it is spent or over, through errors and restarts. */
export function keepLease(
  calls: LeaseCalls,
  { tenant, meter }: { readonly tenant: string; readonly meter: string },
  options: LeaseOptions,
  timing: Timing,
): KeptLease {
  const { ttlMs = TTL_MS, amountMin = AMOUNT_MIN, amountMax = Number.MAX_SAFE_INTEGER } = options;
  const size = createSize({ ttlMs, amountMin: Math.min(amountMin, amountMax), amountMax });
  const rest = createRest(timing);
  const purse = createPurse(timing.now, rest.endIfLow);
  let lease: QuotaLease | undefined;
  let closed = false;

  const ask = async (): Promise<Rest> => {
    const askedAt = timing.now();
    const before = lease?.amount ?? 0n;
    const amounts = { wantedAmount: BigInt(size.next(purse, askedAt)), ttl: durationOf(ttlMs) };
    const answer = lease
      ? await calls.renewLease({ ...amounts, name: lease.name, spentAmount: BigInt(purse.spent()) })
      : await calls.acquireLease({ ...amounts, parent: tenant, meter });
    lease = answer.lease;
    const leaseTtlMs = millisecondsOf(lease?.ttl);
    // From the moment of the question on: the server counts from its answer, which is later.
    if (lease) purse.fill(Number(lease.amount), askedAt + leaseTtlMs * USABLE_SHARE);
    size.got(purse.available());
    if (!lease) return nothing(answer.decision);
    if (lease.amount <= before && purse.available() === 0) return nothing(answer.decision);
    return { ms: millisecondsOf(lease.refreshAfter) || leaseTtlMs / 2, endsWhenLow: true };
  };
  const keep = async (onAnswer: () => void) => {
    for (let failures = 0; !closed; ) {
      const next = await ask().catch((error: unknown): Rest => {
        // It is over, or the server knows it no more. What was spent of it was counted when it was given.
        if (ENDED.has(ConnectError.from(error).code)) {
          lease = undefined;
          purse.empty();
        }
        failures += 1;
        return { ms: pauseAfter(failures, FAILURE_PAUSE, timing.random), endsWhenLow: false };
      });
      if (next.endsWhenLow) failures = 0;
      onAnswer();
      if (!closed) await rest.take(next, purse.isLow());
    }
    const spentAmount = BigInt(purse.spent());
    purse.empty();
    if (!lease) return;
    await calls.returnLease({ name: lease.name, spentAmount }, { timeoutMs: RETURN_TIMEOUT_MS }).catch(() => {});
  };
  let over = Promise.resolve();
  const ready = new Promise<void>((resolve) => {
    over = keep(resolve);
  });
  return {
    purse,
    ready,
    close() {
      closed = true;
      rest.end();
      return over;
    },
  };
}

/** How long to wait before the server is asked again, and whether a low purse ends the wait. */
interface Rest {
  readonly ms: number;
  readonly endsWhenLow: boolean;
}

function nothing(decision: QuotaDecision | undefined): Rest {
  const ms = millisecondsOf(decision?.retryAfter) || NOTHING_PAUSE_MS;
  return { ms: Math.min(ms, NOTHING_PAUSE_MS), endsWhenLow: false };
}

function createRest(timing: Timing) {
  let endsWhenLow = false;
  let end = () => {};
  return {
    endIfLow() {
      if (endsWhenLow) end();
    },
    end: () => end(),
    take(rest: Rest, isLow: boolean): Promise<void> {
      if (rest.endsWhenLow && isLow) return Promise.resolve();
      return new Promise((resolve) => {
        endsWhenLow = rest.endsWhenLow;
        const stop = timing.after(rest.ms, () => end());
        end = () => {
          stop();
          endsWhenLow = false;
          resolve();
        };
      });
    },
  };
}

// Asks for what a `ttlMs` takes at the present speed; for twice as much as it got when that was too little; and shrinks
// step by step, so that a pause does not cost the next rush. A rush of an instant is no speed: nobody should hoard for it.
function createSize({ ttlMs, amountMin, amountMax }: { ttlMs: number; amountMin: number; amountMax: number }) {
  let wanted = amountMin;
  let spentBefore = 0;
  let askedAt = 0;
  return {
    next(purse: Purse, now: number): number {
      const spent = Math.max(0, purse.spent() - spentBefore);
      const needed = (spent / Math.max(ttlMs / 2, now - askedAt)) * ttlMs;
      const least = purse.wasShort() ? wanted * 2 : wanted / 2;
      wanted = Math.min(amountMax, Math.max(amountMin, Math.ceil(Math.max(needed, least))));
      spentBefore = purse.spent();
      askedAt = now;
      return wanted;
    },
    got(amount: number): void {
      wanted = Math.max(amountMin, Math.min(wanted, amount));
    },
  };
}
