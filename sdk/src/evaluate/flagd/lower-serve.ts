import { bucketOf } from "../compile/bucket.ts";
import { HASH_START, hashFurther, hashText } from "../compile/murmur3.ts";
import { bucketPath } from "../compile/serve.ts";
import { TENANT_NAMESPACE, type TenantFacts } from "../context.ts";
import { type RampStep, SHARES } from "../definition.ts";
import type { JsonValue } from "../json.ts";
import { readerOf, splitPath } from "../operator/path.ts";
import { and, isNumber, isText, or, TIMESTAMP, variable } from "./expression.ts";

/** How contexts of a flag or a group are spread over buckets, as logic. */
export interface LoweredBuckets {
  /** Whether the context has something to bucket by; a boolean where the tenant decides. */
  readonly hasUnit: JsonValue;
  /** The choice among buckets of given weights. The weights come to `total`. */
  choose(
    buckets: readonly { readonly value: string | boolean; readonly weight: JsonValue }[],
    total: number,
  ): JsonValue;
}

/** Lowers the bucketing of a flag or a group. */
export function lowerBuckets(
  bucketed: { readonly salt: string; readonly bucketBy?: string },
  tenant: TenantFacts | undefined,
): LoweredBuckets {
  const path = bucketPath(bucketed);
  const [first, ...names] = splitPath(path);
  if (first === TENANT_NAMESPACE) return fixedBuckets(bucketed.salt, readerOf(names)(tenant));
  const value = variable(path);
  const unit = { cat: [bucketed.salt, value] };
  return {
    hasUnit: or([and([isText(value), { "!==": [value, ""] }]), isNumber(value)]),
    choose: (buckets) => ({ fractional: [unit, ...buckets.map(({ value, weight }) => [value, weight])] }),
  };
}

/** A unit that is the tenant's has its bucket before there is a context. */
function fixedBuckets(salt: string, unit: unknown): LoweredBuckets {
  const hasUnit = (typeof unit === "string" && unit !== "") || typeof unit === "number";
  return {
    hasUnit,
    choose(buckets, total) {
      const bucket = bucketOf(hashText(hashFurther(HASH_START, salt), String(unit)), total);
      let end: JsonValue = 0;
      const branches: JsonValue[] = [];
      for (const { value, weight } of buckets) {
        end = typeof end === "number" && typeof weight === "number" ? end + weight : { "+": [end, weight] };
        const isChosen: JsonValue = typeof end === "number" ? bucket < end : { "<": [bucket, end] };
        if (isChosen === true) return branches.length === 0 ? value : { if: [...branches, value] };
        if (isChosen !== false) branches.push(isChosen, value);
      }
      return { if: [...branches, null] };
    },
  };
}

/** The share of a ramp, as logic of the current time. */
export function lowerShare(steps: readonly RampStep[]): JsonValue {
  const branches = steps.flatMap((step, index): JsonValue[] => {
    const before = steps[index - 1];
    return [{ "<": [TIMESTAMP, step.at / 1_000] }, before === undefined ? step.share : shareBetween(before, step)];
  });
  return { if: [...branches, steps.at(-1)?.share ?? 0] };
}

/** What is left of a share. */
export function lowerRest(share: JsonValue): JsonValue {
  return { "-": [SHARES, share] };
}

function shareBetween(before: RampStep, after: RampStep): JsonValue {
  const change = after.share - before.share;
  if (change === 0) return before.share;
  const part = { "*": [change, { "-": [TIMESTAMP, before.at / 1_000] }] };
  const span = (after.at - before.at) / 1_000;
  return { "+": [before.share, { "/": [{ "-": [part, { "%": [part, span] }] }, span] }] };
}
