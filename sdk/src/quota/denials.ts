import { Limit_Mode } from "../gen/tenantplane/v1/limit_pb.ts";
import type { LimitState } from "../gen/tenantplane/v1/quota_check_pb.ts";
import { millisecondsOf } from "./duration.ts";
import type { QuotaDenied, QuotaResult } from "./result.ts";
import type { Timing } from "./timing.ts";
import type { QuotaAmount } from "./use.ts";

/** The denials that a client remembers, so that a tenant at its limit costs no calls. */
export interface Denials {
  /** The denial that answers this question, if there is one. */
  find(tenant: string, entries: readonly QuotaAmount[]): QuotaDenied | undefined;
  /** Takes in an answer of the server: what it refused, and versions of limits, which end denials by other versions. */
  learn(check: { readonly tenant: string; readonly entries: readonly QuotaAmount[] }, result: QuotaResult): void;
}

interface Remembered {
  readonly denial: QuotaDenied;
  readonly limit: LimitState;
  readonly amount: number;
  /** When the limit admits so much again. */
  readonly retryAt: number;
  readonly forgetAt: number;
}

/** A limit that somebody raises is in effect everywhere within a second: no denial is remembered for longer. */
const REMEMBERED_MS_MAX = 1_000;
/** The others are gone beyond as well, but admit. */
const REFUSING: ReadonlySet<Limit_Mode> = new Set([Limit_Mode.UNSPECIFIED, Limit_Mode.HARD, Limit_Mode.OVERAGE]);
/** Some 500 bytes each; above it the oldest is forgotten. */
const REMEMBERED_MAX = 10_000;

/**
 * Makes an empty memory. It keeps denials of the exact state that end by the passing of time, until they do; of gauges
 * and slots anybody may give back at any moment.
 */
export function createDenials(timing: Timing): Denials {
  const known = new Map<string, Remembered>();
  const findOne = (tenant: string, { meter, amount = 1 }: QuotaAmount): QuotaDenied | undefined => {
    const key = keyOf(tenant, meter);
    const found = known.get(key);
    if (!found || amount < found.amount) return undefined;
    const now = timing.now();
    if (now < found.forgetAt)
      return { ...found.denial, source: "REMEMBERED", requestId: "", retryAfterMs: found.retryAt - now };
    known.delete(key);
    return undefined;
  };
  const remember = (tenant: string, entries: readonly QuotaAmount[], denial: QuotaDenied) => {
    const now = timing.now();
    for (const limit of denial.limits) {
      const entry = entries.find(({ meter }) => meter === limit.meter);
      const waitMs = millisecondsOf(limit.retryAfter);
      if (!(limit.exceeded && REFUSING.has(limit.mode)) || !entry || waitMs <= 0) continue;
      const forgetAt = now + Math.min(waitMs, REMEMBERED_MS_MAX);
      const key = keyOf(tenant, limit.meter);
      if (known.size >= REMEMBERED_MAX) known.delete(known.keys().next().value ?? "");
      known.set(key, { denial, limit, amount: entry.amount ?? 1, retryAt: now + waitMs, forgetAt });
    }
  };
  return {
    find(tenant, entries) {
      if (known.size === 0) return undefined;
      for (const entry of entries) {
        const denial = findOne(tenant, entry);
        if (denial) return denial;
      }
      return undefined;
    },
    learn({ tenant, entries }, result) {
      if (known.size > 0) {
        for (const limit of result.limits) {
          const found = known.get(keyOf(tenant, limit.meter));
          if (found && isSame(found.limit, limit) && found.limit.version !== limit.version) {
            known.delete(keyOf(tenant, limit.meter));
          }
        }
      }
      if (result.outcome === "DENY" && result.consistency === "EXACT" && !result.replayed) {
        remember(tenant, entries, result);
      }
    },
  };
}

function keyOf(tenant: string, meter: string): string {
  return `${tenant} ${meter}`;
}

function isSame(a: LimitState, b: LimitState): boolean {
  return a.limitId === b.limitId && a.holder === b.holder;
}
