/**
 * An amount as the hot state holds it: a number while that is exact, else a decimal text. So nothing is ever rounded, and
 * the arithmetic of the ordinary case is that of the processor.
 */
export type Amount = number | string;

/** Turns a whole amount, which is never negative, into what the hot state holds. */
export function toAmount(value: bigint): Amount {
  return value <= SAFE_MAX ? Number(value) : String(value);
}

/** x - y, cut to what a number holds exactly. */
export function difference(x: Amount, y: Amount): number {
  if (typeof x === "number" && typeof y === "number") return x - y;
  return toSafe(BigInt(x) - BigInt(y));
}

/** The number nearest to a whole amount among those that are exact. */
export function toSafe(value: bigint): number {
  if (value > SAFE_MAX) return Number.MAX_SAFE_INTEGER;
  return value < -SAFE_MAX ? -Number.MAX_SAFE_INTEGER : Number(value);
}

const SAFE_MAX = BigInt(Number.MAX_SAFE_INTEGER);
