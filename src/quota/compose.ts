import { DomainError, Problems } from "../errors.ts";
import { SEATS_METER } from "../meter/meter.ts";
import type { Check, Entry } from "./decision.ts";
import type { TenantQuotas } from "./effective.ts";
import type { Asker } from "./gather.ts";
import { KIND } from "./hot/state.ts";
import type { Part, Prepared, Preparer } from "./prepare.ts";

/** What a check asks of the hot state. */
export interface Composed {
  readonly parts: readonly Part[];
  /** The slot of each entry, empty for other kinds. */
  readonly slots: readonly string[];
}

/** The path of an entry's field in the request. */
export type Path = (entry: number, field: string) => string;

/** Which kinds of meters entries may name. */
export type Kinds = "ANY" | "HOLDABLE" | "RELEASABLE";

/**
 * Turns entries into parts, one for each limit of each entry. What is wrong with them is an error: an unknown meter, the
 * seats, a slot where there are none, or not exactly one where there are.
 */
export function compose(
  preparer: Preparer,
  quotas: TenantQuotas,
  entries: readonly Entry[],
  options: { readonly path: Path; readonly kinds: Kinds; readonly nameSlot: (entry: number) => string },
): Composed | DomainError {
  const problems = new Problems();
  const parts: Part[] = [];
  let slots = NO_SLOTS;
  for (const [index, entry] of entries.entries()) {
    const limits = preparer.limitsOf(quotas, entry.meter);
    const problem = problemOf(entry, limits, options.kinds);
    if (problem) problems.add(options.path(index, problem.field), problem.description);
    if (entries.findIndex(({ meter }) => meter === entry.meter) < index) {
      problems.add(options.path(index, "meter"), "is used twice");
    }
    const isSlot = limits?.[0]?.hot.kind === KIND.SLOTS;
    const slot = entry.slot ?? (isSlot ? options.nameSlot(index) : "");
    if (slot !== "") slots = entries.map((_, other) => (other === index ? slot : (slots[other] ?? "")));
    for (const limit of limits ?? []) parts.push(partOf(limit, entry.amount, index, slot));
  }
  try {
    problems.throwIfAny();
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
  return { parts, slots: slots.length > 0 ? slots : entries.map(() => "") };
}

/** Whose request id it is, with the signature of the limits that its answer will be of. */
export function askerOf(
  preparer: Preparer,
  quotas: TenantQuotas,
  parts: readonly Part[],
  idempotency: Check["idempotency"],
): Asker | undefined {
  if (!idempotency) return undefined;
  let signature = parts.length;
  for (const { limit } of parts) signature = (Math.imul(signature, 31) + limit.signature) | 0;
  return { holder: preparer.tenantOf(quotas), id: idempotency.requestId, hash: idempotency.hash, signature };
}

const NO_SLOTS: readonly string[] = [];

function partOf(limit: Prepared, amount: number, entry: number, slot: string): Part {
  return amount === 1 && entry === 0 && slot === "" ? limit.one : { limit, amount, entry, slot };
}

function problemOf({ meter, amount, slot }: Entry, limits: readonly Prepared[] | undefined, kinds: Kinds) {
  if (!limits) return { field: "meter", description: `there is no meter ${meter}` };
  if (meter === SEATS_METER) return { field: "meter", description: "seats are taken and given back by users alone" };
  const kind = limits[0]?.hot.kind;
  if (kind === undefined) return undefined;
  const isSlot = kind === KIND.SLOTS;
  if (kinds === "HOLDABLE" && isSlot) return { field: "meter", description: "slots can't be set aside: hold them" };
  if (kinds === "RELEASABLE" && !isSlot && kind !== KIND.GAUGE) {
    return { field: "meter", description: "refills by itself: only gauges and slots are given back" };
  }
  if (!isSlot && slot !== undefined) return { field: "slot", description: "is for meters of kind CONCURRENCY" };
  if (isSlot && kinds === "RELEASABLE" && slot === undefined) return { field: "slot", description: "must be set" };
  if (isSlot && amount > 1) return { field: "amount", description: "must be at most 1: an entry is one slot" };
  return undefined;
}
