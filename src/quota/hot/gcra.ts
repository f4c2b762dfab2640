/**
 * A level in tokens that leaks `amount` per window: the generic cell rate algorithm, kept in tokens instead of in time. The
 * level is exact: whole tokens, and a remainder counted in parts of a window, so that no rate is rounded, however fast.
 */
export interface GcraState {
  readonly level: number;
  /** Numerator over the window: from 0 to below `windowMs`. */
  readonly rest: number;
  readonly at: number;
}

export interface GcraRate {
  readonly amount: number;
  /** At most a day: the product of two remainders must stay below 2^53. */
  readonly windowMs: number;
}

/** The level at a later time. A clock that went back leaves it as it was. */
export function leak(state: GcraState, { amount, windowMs }: GcraRate, now: number): GcraState {
  const elapsedMs = Math.max(0, now - state.at);
  const at = Math.max(now, state.at);
  const windows = Math.floor(elapsedMs / windowMs);
  if (state.level < windows * amount) return { level: 0, rest: 0, at };
  const ms = elapsedMs - windows * windowMs;
  const part = (amount % windowMs) * ms;
  let level = state.level - windows * amount - Math.floor(amount / windowMs) * ms - Math.floor(part / windowMs);
  let rest = state.rest - (part % windowMs);
  if (rest < 0) {
    level -= 1;
    rest += windowMs;
  }
  return level < 0 ? { level: 0, rest: 0, at } : { level, rest, at };
}

/** What is used of the limit: whole tokens, a begun one counts. */
export function gcraUsed(state: GcraState): number {
  return state.level + Math.min(1, state.rest);
}

/** How long until a cost fits below a limit: 0 when it does, undefined when it never will. */
export function gcraRetryMs(state: GcraState, rate: GcraRate, limit: number, cost: number): number | undefined {
  if (cost > limit) return undefined;
  return leakMs(state.level + cost - limit, state.rest, rate);
}

/** How long until nothing is used any more; undefined when nothing ever leaks. */
export function gcraEmptyMs(state: GcraState, rate: GcraRate): number | undefined {
  return leakMs(state.level, state.rest, rate);
}

// The time in which `tokens + rest/window` leak, rounded up: (tokens * window + rest) / amount.
function leakMs(tokens: number, rest: number, { amount, windowMs }: GcraRate): number | undefined {
  if (tokens < 0 || (tokens === 0 && rest === 0)) return 0;
  if (amount === 0) return undefined;
  const parts = tokens * windowMs + rest;
  if (parts <= Number.MAX_SAFE_INTEGER) return Math.ceil(parts / amount);
  const exact = BigInt(tokens) * BigInt(windowMs) + BigInt(rest);
  return Number((exact + BigInt(amount) - 1n) / BigInt(amount));
}
