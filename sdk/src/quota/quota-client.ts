import type { Client } from "@connectrpc/connect";
import { QuotaMode } from "../gen/tenantplane/v1/quota_check_pb.ts";
import type { QuotaService } from "../gen/tenantplane/v1/quota_pb.ts";
import { carryChecks } from "./carrier.ts";
import { createDenials } from "./denials.ts";
import { keepLease, type LeaseOptions } from "./lease.ts";
import { type Reserved, type ReserveOptions, reserveQuota } from "./reservation.ts";
import { leased, type QuotaResult } from "./result.ts";
import { systemTiming, type Timing } from "./timing.ts";
import { amountsOf, type QuotaUse } from "./use.ts";
import { createWaitingRoom } from "./waiting-room.ts";

/** How a quota client works. */
export interface QuotaClientOptions {
  /** How long a check waits for its answer before it is UNDECIDED, in milliseconds; 1,000 by default. */
  readonly timeoutMs?: number;
  /**
   * True, the default: each use has a request id, so that what a broken connection left unanswered is asked again and
   * counted once. False saves the server the memory of the ids; such a use is UNDECIDED then.
   */
  readonly exactlyOnce?: boolean;
  readonly timing?: Timing;
}

/** How one check is asked. */
export interface CheckOptions {
  readonly timeoutMs?: number;
  /** The id of an earlier use that was UNDECIDED: it gets the first answer, and is counted once. */
  readonly requestId?: string;
}

/** How a use is counted. */
export interface ConsumeOptions extends CheckOptions {
  /**
   * CONSUME, the default: all entries or none. BEST_EFFORT: of each entry as much as there is. FORCE: all entries,
   * whatever the limits say, because the use has happened.
   */
  readonly mode?: "CONSUME" | "BEST_EFFORT" | "FORCE";
}

/**
 * Asks on the hot path whether a tenant, "tenants/{tenant}", may use something. All checks of one turn of the event loop
 * travel in one message. A result is never an allowance by default: who can't be asked is UNDECIDED. Refused questions,
 * such as one for a meter that does not exist, throw ConnectErrors.
 */
export interface QuotaClient {
  /** Tells what `consume` would answer, and counts nothing. */
  check(tenant: string, use: QuotaUse, options?: CheckOptions): Promise<QuotaResult>;
  /** Counts a use if all its limits admit it. */
  consume(tenant: string, use: QuotaUse, options?: ConsumeOptions): Promise<QuotaResult>;
  /** Sets amounts aside until they are committed, cancelled or expire. */
  reserve(tenant: string, use: QuotaUse, options?: ReserveOptions): Promise<Reserved>;
  /** Takes an amount of a meter to spend without calls; the same lease for whoever asks again. */
  lease(tenant: string, meter: string, options?: LeaseOptions): HeldLease;
  /** Gives leases back, waits for the answers under way, and ends the stream. */
  close(): Promise<void>;
}

/** An amount of a meter to spend without calls, renewed ahead of need. It must be closed. */
export interface HeldLease {
  /** Spends of the lease, at once. False when so much is not there: `consume` asks the server then. */
  spend(amount?: number): boolean;
  /** Spends of the lease, or else asks the server for this amount alone. */
  consume(amount?: number): Promise<QuotaResult>;
  /** What `spend` can take now. */
  available(): number;
  /** Resolves when the server has answered for the first time, whatever it said. */
  readonly ready: Promise<void>;
  /** Gives the rest back. */
  close(): Promise<void>;
}

/** A check that has no answer by then is not worth waiting for. */
const TIMEOUT_MS = 1_000;
/** A server has so long to end a stream by itself. */
const END_MS = 200;

/** Makes a quota client over the clients of `createClients`; it connects when it is first asked. */
export function createQuotaClient(
  clients: { readonly quotas: Client<typeof QuotaService> },
  options: QuotaClientOptions = {},
): QuotaClient {
  const { timeoutMs = TIMEOUT_MS, exactlyOnce = true, timing = systemTiming } = options;
  const { quotas } = clients;
  const denials = createDenials(timing);
  const room = createWaitingRoom(timing, denials.learn);
  const leases = new Map<string, HeldLease>();
  const over = new AbortController();
  let carrying: Promise<void> | undefined;

  const ask = (tenant: string, use: QuotaUse, mode: QuotaMode, own: CheckOptions): Promise<QuotaResult> => {
    const entries = amountsOf(use);
    const remembered = own.requestId === undefined && BY_LIMITS.has(mode) ? denials.find(tenant, entries) : undefined;
    if (remembered) return Promise.resolve(remembered);
    const counts = mode !== QuotaMode.CHECK_ONLY;
    const requestId = own.requestId ?? (counts && exactlyOnce ? crypto.randomUUID() : "");
    carrying ??= carryChecks(quotas, room, timing, over.signal);
    return room.enter({ tenant, entries, mode, requestId }, own.timeoutMs ?? timeoutMs);
  };
  const consume: QuotaClient["consume"] = (tenant, use, { mode = "CONSUME", ...own } = {}) =>
    ask(tenant, use, QuotaMode[mode], own);
  return {
    consume,
    check: (tenant, use, own = {}) => ask(tenant, use, QuotaMode.CHECK_ONLY, own),
    reserve: (tenant, use, own) => reserveQuota(quotas, tenant, use, own),
    lease(tenant, meter, own = {}) {
      const key = `${tenant} ${meter}`;
      const known = leases.get(key);
      if (known) return known;
      const kept = keepLease(quotas, { tenant, meter }, own, timing);
      const { spend, available } = kept.purse;
      const lease: HeldLease = {
        spend: (amount = 1) => spend(amount),
        consume: async (amount = 1) => (spend(amount) ? leased(amount) : consume(tenant, { meter, amount })),
        available,
        ready: kept.ready,
        close() {
          leases.delete(key);
          return kept.close();
        },
      };
      leases.set(key, lease);
      return lease;
    },
    async close() {
      await Promise.all([room.close(), ...[...leases.values()].map((lease) => lease.close())]);
      const stop = timing.after(END_MS, () => over.abort());
      await carrying;
      stop();
    },
  };
}

/** Modes whose answer a remembered denial is. */
const BY_LIMITS: ReadonlySet<QuotaMode> = new Set([QuotaMode.CONSUME, QuotaMode.CHECK_ONLY]);
