import type { Account, AccountHolder, Accounts } from "./account.ts";
import type { LimitState } from "./decision.ts";
import type { EffectiveLimit, TenantQuotas } from "./effective.ts";
import { toAmount } from "./hot/amount.ts";
import { type HotLimit, KIND } from "./hot/state.ts";
import type { KeptLimit } from "./kept.ts";

/** A limit made ready for deciding: once for each version of it, not for each check. */
export interface Prepared {
  readonly effective: EffectiveLimit;
  readonly hot: HotLimit;
  readonly account: Account;
  /** Tells its count from others, in few bits. */
  readonly signature: number;
  /** While it is known to refuse an amount: until when, and how it stands. */
  exhausted: { readonly until: number; readonly asked: number; readonly state: LimitState } | undefined;
  /** Which batch named it last, and where in it. */
  stamp: number;
  index: number;
  /** Its parts of checks for the amount asked for most: the same object each time, so that equal checks are seen as equal. */
  readonly one: Part;
}

/** An amount of a limit that is asked for. */
export interface Part {
  readonly limit: Prepared;
  readonly amount: number;
  readonly entry: number;
  readonly slot: string;
}

/** Prepares limits, and remembers them for as long as their versions live. */
export interface Preparer {
  /** The limits of a meter; undefined when there is no such meter. */
  limitsOf(quotas: TenantQuotas, meter: string): readonly Prepared[] | undefined;
  /** A limit as it was when a reservation or a lease was made. */
  kept(limit: KeptLimit): Prepared;
  /** The tenant as a holder, whether it has limits or not. */
  tenantOf(quotas: TenantQuotas): AccountHolder;
}

/** Makes a preparer. */
export function createPreparer(accounts: Accounts): Preparer {
  const byMeter = new WeakMap<readonly EffectiveLimit[], readonly Prepared[]>();
  return {
    limitsOf(quotas, meter) {
      const limits = quotas.limitsOf(meter);
      if (!limits) return undefined;
      const known = byMeter.get(limits);
      // An account that was forgotten meanwhile is made anew.
      if (known && !known.some(({ account }) => account.isForgotten)) return known;
      const prepared = limits.map((effective) => prepare(accounts, quotas.rootUid, effective));
      byMeter.set(limits, prepared);
      return prepared;
    },
    kept: ({ holder, rootUid, limit, amount, cap, window }) =>
      prepare(accounts, rootUid, {
        key: `${holder.kind === "tenant" ? "t" : "i"}/${limit.limitId}`,
        holder,
        limit,
        amount: BigInt(amount),
        cap: BigInt(cap),
        version: "",
        source: "PLAN",
        window: window ?? undefined,
      }),
    tenantOf: ({ tenantUid: uid, rootUid }) => accounts.holder({ uid, rootUid, kind: "tenant" }),
  };
}

/** Prepares one limit. */
export function prepare(accounts: Accounts, rootUid: string, effective: EffectiveLimit): Prepared {
  const { holder, limit } = effective;
  const hot = toHotLimit(effective);
  const account = accounts.account({
    holder: accounts.holder({ uid: holder.uid, rootUid, kind: holder.kind }),
    field: hot.field,
    kind: hot.kind,
    limitId: limit.limitId,
  });
  const prepared: Omit<Prepared, "one"> = {
    effective,
    hot,
    account,
    signature: hashOf(`${holder.uid} ${hot.field}`),
    exhausted: undefined,
    stamp: 0,
    index: 0,
  };
  return Object.assign(prepared, { one: { limit: prepared as Prepared, amount: 1, entry: 0, slot: "" } });
}

/** A limit as the hot state needs it. */
export function toHotLimit({ limit, amount, cap, window }: EffectiveLimit): HotLimit {
  const { rule, mode } = limit;
  const common = {
    field: fieldOf(limit),
    startAt: window?.startAt ?? 0,
    windowMs: 0,
    amount: 0,
    soft: mode === "SOFT" || mode === "SHADOW",
    strict: mode === "HARD",
  };
  const overage = mode === "OVERAGE" ? BigInt(limit.overageCap) : 0n;
  switch (rule.kind) {
    case "PERIOD":
      return { ...common, kind: KIND.PERIOD, cap: toAmount(cap) };
    case "GAUGE":
      return { ...common, kind: KIND.GAUGE, cap: toAmount(cap) };
    case "RATE": {
      const { windowMs } = rule;
      if (rule.algorithm === "SLIDING_WINDOW") {
        return { ...common, kind: KIND.SLIDING, windowMs, cap: toCount(amount + overage) };
      }
      const burst = toCount(BigInt(rule.burst) + overage);
      return { ...common, kind: KIND.GCRA, windowMs, amount: toCount(amount), cap: burst };
    }
    case "CONCURRENCY":
      return { ...common, kind: KIND.SLOTS, windowMs: rule.slotTtlMs, cap: toCount(amount + overage) };
    default:
      return rule satisfies never;
  }
}

/**
 * Names the count of a limit. Another amount is the same count; another meter or rule is another one, which begins anew.
 */
export function fieldOf({ limitId, meter, rule }: EffectiveLimit["limit"]): string {
  return `${limitId}~${(hashOf(`${meter} ${ruleText(rule)}`) >>> 0).toString(36)}`;
}

function ruleText(rule: EffectiveLimit["limit"]["rule"]): string {
  switch (rule.kind) {
    case "PERIOD":
      return `period ${rule.duration} ${rule.anchor}`;
    case "RATE":
      return `${rule.algorithm} ${rule.windowMs}`;
    case "GAUGE":
    case "CONCURRENCY":
      return rule.kind;
    default:
      return rule satisfies never;
  }
}

// FNV-1a, 32 bits: tells apart the few rules that a limit has in its life.
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

// Rates and slots count below 2^53: nobody uses more in a day, and less is never in the caller's favour.
function toCount(value: bigint): number {
  return value < BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : Number.MAX_SAFE_INTEGER;
}
