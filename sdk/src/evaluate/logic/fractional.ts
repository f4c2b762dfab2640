import { bucketOf } from "../compile/bucket.ts";
import { HASH_START, hashText } from "../compile/murmur3.ts";
import { WEIGHTS_MAX } from "../parse/bounds.ts";
import type { Operation } from "./expression.ts";

interface Bucket {
  readonly variant: string | number | boolean | null;
  readonly weight: number;
}

/**
 * flagd's `fractional`: the variant of the bucket that the hash falls into, or null when something is amiss. The first argument may be the text
 * to hash; without it, or where it is null, that is the flag's key and the targeting key.
 */
export const fractional: Operation = (args, _data, scope) => {
  const [first, ...rest] = args;
  const isUnit = typeof first === "string";
  const unit = isUnit ? first : defaultUnit(scope.flagKey, scope.context);
  if (unit === undefined) return null;
  const buckets: Bucket[] = [];
  let total = 0;
  for (const arg of isUnit || first === null ? rest : args) {
    const bucket = parseBucket(arg);
    if (bucket === undefined) return null;
    buckets.push(bucket);
    total += bucket.weight;
  }
  if (total > WEIGHTS_MAX) return null;
  let left = bucketOf(hashText(HASH_START, unit), total);
  for (const { variant, weight } of buckets) {
    if (left < weight) return variant;
    left -= weight;
  }
  return null;
};

function defaultUnit(flagKey: string, context: unknown): string | undefined {
  const key = (context as { readonly targetingKey?: unknown } | null | undefined)?.targetingKey;
  return (typeof key === "string" && key !== "") || typeof key === "number" ? `${flagKey}${key}` : undefined;
}

function parseBucket(arg: unknown): Bucket | undefined {
  if (!Array.isArray(arg) || arg.length < 1 || arg.length > 2) return undefined;
  const [variant, weight = 1] = arg as readonly unknown[];
  if (typeof variant === "object" && variant !== null) return undefined;
  const whole = weight ?? 1;
  if (typeof whole !== "number" || !Number.isInteger(whole)) return undefined;
  // Weights that are calculated, from the time for one, may fall below zero.
  return { variant: variant as Bucket["variant"], weight: Math.max(0, whole) };
}
