/*
 * What a flag is, as plain data that survives JSON: the contract between the server, which stores it, the stream, which
 * carries it, and the evaluator, which compiles it (`parse` checks every rule stated here).
 *
 * How one flag is decided for a tenant and a context. The first step with an answer wins:
 *
 *  1. STATE         a DISABLED flag gives the caller's default; a killed one its off variant. Reason DISABLED.
 *  2. TENANT        a tenant that is not ACTIVE gets the off variant. Reason DISABLED.
 *  3. PREREQUISITE  a prerequisite without one of its wanted variants gives the off variant.
 *  4. OVERRIDE      the tenant's own override serves.
 *  5. ENTITLEMENT   a tenant without the flag's entitlement gets the variant that the entitlement names, or the off variant.
 *  6. GROUP         a context outside the flag's range in its exclusive group gets the off variant.
 *  7. RULE          the first rule that matches serves. A ramp that has not reached the context, and a logic that gives
 *                   null, decide nothing: the next rule is asked.
 *  8. DEFAULT       `defaultServe` serves.
 *
 * Wherever the off variant is due and the flag has none, and where there is no `defaultServe`, the caller's default is
 * used (reason DEFAULT, no variant).
 *
 * Reasons are OpenFeature's. STATIC: nothing could have given another answer, so it may be cached by flag key alone;
 * never given when the flag has anything that depends on the tenant or the context. TARGETING_MATCH: a rule, an override, a
 * prerequisite, an entitlement or a group decided. SPLIT: so did a split or a ramp. DEFAULT: nothing else applied.
 *
 * Bucketing, version 1: murmur3-x86-32 with seed 0 over the UTF-8 bytes of salt + unit, without a separator;
 * bucket = (hash * total) >> 32 in 64 bits, with the hash as an unsigned number; of the weights in order, the first whose running
 * sum exceeds the bucket is chosen. That is flagd's `fractional`, and equal to its default when the salt is the flag's key. The unit is
 * the value at `bucketBy`: a non-empty string, or a number in its JSON form; without it the result is the error
 * TARGETING_KEY_MISSING.
 */
import type { JsonLogic, Match } from "./clause.ts";
import type { AttributePath } from "./context.ts";
import type { JsonObject } from "./json.ts";

/** The type of all variants of a flag, as `typeof` names it. */
export type FlagKind = "boolean" | "string" | "number" | "object";
/** The value of a variant. Objects may hold anything inside, but are not arrays themselves. */
export type FlagValue = boolean | string | number | JsonObject;

/** Facts about a flag that every evaluation hands to the caller's telemetry. */
export type Metadata = Readonly<Record<string, boolean | number | string>>;

/** Everything an evaluator needs. References between documents are by key. */
export interface FlagSet {
  readonly flags: readonly FlagDefinition[];
  readonly segments?: readonly SegmentDefinition[];
  readonly memberships?: readonly SegmentMembership[];
  readonly groups?: readonly GroupDefinition[];
  readonly overrides?: readonly TenantOverride[];
  /** In the metadata of every evaluation; a flag's own entries win. */
  readonly metadata?: Metadata;
}

/** A flag as the platform defines it. What only people and the server read (owner, expiry, schedule) is not part of it. */
export interface FlagDefinition {
  /** Unique among the flags. */
  readonly key: string;
  readonly kind: FlagKind;
  /** A DISABLED flag is not evaluated: callers get their own default. */
  readonly state: "ENABLED" | "DISABLED";
  /** The kill switch: while true, everybody gets the off variant, whatever rules and overrides say. False by default. */
  readonly killed?: boolean;
  /** At least one; each of the flag's kind. */
  readonly variants: Readonly<Record<string, FlagValue>>;
  /** What a flag that is off serves. Without it, the caller's default. */
  readonly offVariant?: string;
  /** What is served when no rule matches. Without it, the caller's default. */
  readonly defaultServe?: Serve;
  /** All must hold. A prerequisite may have prerequisites itself; circles are refused. */
  readonly prerequisites?: readonly Prerequisite[];
  /** The plan's say: which feature a tenant must be entitled to. */
  readonly entitlement?: EntitlementGate;
  /** The flag's share of a group of flags of which a context gets at most one. */
  readonly group?: GroupRange;
  /** In order; the first that matches serves. */
  readonly rules?: readonly Rule[];
  /** Mixed into every hash. It never changes in the life of a flag: another salt would move everybody. */
  readonly salt: string;
  /** The algorithm that splits and ramps use. It never changes in the life of a flag. */
  readonly bucketing: Bucketing;
  /** The attribute whose values are spread over splits and ramps; "targetingKey" by default. */
  readonly bucketBy?: AttributePath;
  /** Whether browsers may read its evaluated value. False by default. */
  readonly clientVisible?: boolean;
  readonly metadata?: Metadata;
}

/** A version of the algorithm described above; later ones get other numbers. */
export type Bucketing = 1;

/** Holds when the other flag, evaluated for the same tenant and context, is on (not disabled, not killed) and gives one of the variants. */
export interface Prerequisite {
  readonly flag: string;
  readonly variants: readonly string[];
}

/** A tenant is entitled when its entitlement of this name is there and not false, 0 or "". */
export interface EntitlementGate {
  readonly feature: string;
  /** What tenants without it get; the off variant by default. */
  readonly otherwise?: string;
}

/** The buckets of a group, from `from` (included) to `to` (excluded), of 0 to 100,000 (`SHARES`). Those of a group's flags don't overlap. */
export interface GroupRange {
  readonly group: string;
  readonly from: number;
  readonly to: number;
}

/** A group of flags that exclude each other: all of them bucket with its salt. */
export interface GroupDefinition {
  readonly key: string;
  readonly salt: string;
  readonly bucketing: Bucketing;
  /** "targetingKey" by default. */
  readonly bucketBy?: AttributePath;
}

/** Serves the contexts that match; all of them when there is no `match`. */
export interface Rule {
  /** Unique in the flag. Evaluations name it. */
  readonly id: string;
  readonly description?: string;
  readonly match?: Match;
  readonly serve: Serve;
}

/** What is served. */
export type Serve =
  | { readonly variant: string }
  /** One of several variants, in the proportion of their weights. */
  | { readonly split: readonly WeightedVariant[] }
  | { readonly ramp: Ramp }
  /** The variant whose name the logic gives (booleans and numbers by their JSON text); null decides nothing. */
  | { readonly logic: JsonLogic };

/** Weights are whole numbers from 0; their sum is what they are shares of, at least 1 and at most 2^31 - 1. */
export interface WeightedVariant {
  readonly variant: string;
  readonly weight: number;
}

/**
 * A share of all contexts that changes with time, computed where the flag is evaluated. Linear between two steps, constant
 * before the first and after the last. Each context has a fixed bucket and gets the variant while the share is above it: as the share
 * goes up nobody loses the variant, and when it goes down those who came last leave first.
 */
export interface Ramp {
  readonly variant: string;
  /** What contexts get that the ramp has not reached. Without it, the next rule is asked. */
  readonly otherwise?: string;
  /** In order of time, at least one. */
  readonly steps: readonly RampStep[];
}

/** At an instant in epoch milliseconds (of a whole second), a share of 0 to 100,000 (`SHARES`). */
export interface RampStep {
  readonly at: number;
  readonly share: number;
}

/** What the shares of ramps and the ranges of groups are parts of: thousandths of a percent. */
export const SHARES = 100_000;

/** A reusable match. Of a context's membership, exclusion decides first, then inclusion (`SegmentMembership`), then `matches`. */
export interface SegmentDefinition {
  readonly key: string;
  /** One of them must hold. Segments may refer to other segments; circles are refused. */
  readonly matches?: readonly Match[];
  /** The attribute that membership lists speak of; "targetingKey" by default. A value of another type than text is no member. */
  readonly memberBy?: AttributePath;
}

/**
 * Who is in a segment by name: lists of up to 100,000 keys, kept outside of the definition so that a rule never carries
 * them. A new membership takes the place of the segment's old one.
 */
export interface SegmentMembership {
  readonly segment: string;
  readonly included?: readonly string[];
  readonly excluded?: readonly string[];
}

/** A change to a membership, without the rest of it: each key is put into one of the lists, or into none. */
export interface MembershipPatch {
  readonly segment: string;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  readonly remove?: readonly string[];
}

/** What one tenant gets of one flag, in the place of the plan's and the platform's say. A kill switch or an unmet prerequisite is above it. */
export interface TenantOverride {
  /** The tenant's id, such as "acme". */
  readonly tenant: string;
  readonly flag: string;
  readonly serve: Serve;
}
