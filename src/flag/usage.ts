/** How often a flag gave a variant; the caller's default is the empty one. */
export interface Usage {
  readonly flagKey: string;
  readonly variant: string;
  readonly count: number;
  readonly lastAt: number;
}

/** Counts of evaluations that were made here and are not written yet. */
export interface UsageCounter {
  add(flagKey: string, variant: string | undefined, now: number): void;
  /** What was counted since the last call of this. */
  take(): Usage[];
}

/** Makes a counter. */
export function createUsageCounter(): UsageCounter {
  let flags = new Map<string, Map<string, { count: number; lastAt: number }>>();
  return {
    add(flagKey, variant = "", now) {
      let variants = flags.get(flagKey);
      if (!variants) {
        variants = new Map();
        flags.set(flagKey, variants);
      }
      const known = variants.get(variant);
      if (!known) variants.set(variant, { count: 1, lastAt: now });
      else {
        known.count += 1;
        known.lastAt = now;
      }
    },
    take() {
      const taken = flags;
      flags = new Map();
      return [...taken].flatMap(([flagKey, variants]) =>
        [...variants].map(([variant, counted]) => ({ flagKey, variant, ...counted })),
      );
    },
  };
}

/** Why a flag may be removed. */
export type StaleReason = "EXPIRED" | "NEVER_USED" | "UNUSED" | "ONE_VARIANT";

/** What is known of a flag's use. */
export interface FlagUse {
  readonly flagKey: string;
  readonly owner: string;
  readonly expiresAt: number | null;
  readonly createdAt: number;
  readonly lastAt: number | null;
  /** How often each variant was given since the start of the window. */
  readonly counts: Readonly<Record<string, number>>;
}

/** The reasons for which a flag may be removed, as far as its use since `since` tells. */
export function staleReasons(use: FlagUse, since: number, now: number): StaleReason[] {
  const reasons: StaleReason[] = [];
  if (use.expiresAt !== null && use.expiresAt <= now) reasons.push("EXPIRED");
  // What is younger than the window had no time to be used.
  if (use.createdAt > since) return reasons;
  if (use.lastAt === null) reasons.push("NEVER_USED");
  else if (use.lastAt < since) reasons.push("UNUSED");
  else if (Object.keys(use.counts).length === 1) reasons.push("ONE_VARIANT");
  return reasons;
}
