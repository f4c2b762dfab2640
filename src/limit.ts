/** How a meter counts. */
export const METER_KINDS = ["RATE", "PERIOD", "GAUGE", "CONCURRENCY"] as const;
export type MeterKind = (typeof METER_KINDS)[number];

/** What happens to a use beyond the limit. */
export const LIMIT_MODES = ["HARD", "SOFT", "OVERAGE", "SHADOW"] as const;
export type LimitMode = (typeof LIMIT_MODES)[number];

/** What is answered while the limit can't be decided. */
export const FAIL_POLICIES = ["CLOSED", "OPEN", "SAFE_AMOUNT"] as const;
export type FailPolicy = (typeof FAIL_POLICIES)[number];

/**
 * How much of a meter may be used, as plans, integrators and overrides have it. Plain data that survives JSON: amounts are
 * decimal texts, so that all 64 bits of them do.
 */
export interface Limit {
  readonly limitId: string;
  readonly meter: string;
  readonly amount: string;
  readonly mode: LimitMode;
  /** How far OVERAGE may go beyond the amount. */
  readonly overageCap: string;
  readonly failPolicy: FailPolicy;
  /** What SAFE_AMOUNT admits on each node for each minute without state. */
  readonly safeAmount: string;
  /** Percentages of the amount at which a warning is due, ascending. */
  readonly warningPercents: readonly number[];
  readonly rule: LimitRule;
}

/** How a limit counts; the kind is its meter's. */
export type LimitRule =
  | {
      readonly kind: "RATE";
      readonly algorithm: "GCRA" | "SLIDING_WINDOW";
      readonly windowMs: number;
      /** What GCRA admits at once after a pause. */
      readonly burst: string;
    }
  | {
      readonly kind: "PERIOD";
      /** An ISO 8601 duration of whole minutes. */
      readonly duration: string;
      readonly anchor: "CALENDAR" | "ANNIVERSARY";
      /** How much of what was left is added to the next period. */
      readonly rolloverMax: string;
    }
  | { readonly kind: "GAUGE" }
  | { readonly kind: "CONCURRENCY"; readonly slotTtlMs: number };

/** The largest amount there is: 2^63-1. */
export const AMOUNT_MAX = 2n ** 63n - 1n;
