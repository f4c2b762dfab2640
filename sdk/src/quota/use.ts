import type { MessageInitShape } from "@bufbuild/protobuf";
import type { QuotaEntrySchema } from "../gen/tenantplane/v1/quota_check_pb.ts";

/** What a tenant would use: one of a meter, by its id, or amounts of one or several. */
export type QuotaUse = string | QuotaAmount | readonly QuotaAmount[];

/** So much of a meter. */
export interface QuotaAmount {
  readonly meter: string;
  /** A whole number from 0 up; 1 by default. 0 looks without counting. */
  readonly amount?: number;
  /** For meters of kind CONCURRENCY: names the slot. The server names it by default. */
  readonly slot?: string;
}

/** A use as amounts. Throws a RangeError for an amount that is none. */
export function amountsOf(use: QuotaUse): readonly QuotaAmount[] {
  if (typeof use === "string") return [{ meter: use }];
  const amounts = Array.isArray(use) ? (use as readonly QuotaAmount[]) : [use as QuotaAmount];
  for (const { amount = 1 } of amounts) checkAmount(amount);
  return amounts;
}

/** Throws a RangeError for what is no amount. */
export function checkAmount(amount: number): void {
  if (!(Number.isSafeInteger(amount) && amount >= 0)) throw new RangeError("an amount is a whole number from 0 up");
}

/** Amounts as the protocol has them. */
export function entriesOf(amounts: readonly QuotaAmount[]): MessageInitShape<typeof QuotaEntrySchema>[] {
  return amounts.map(({ meter, amount, slot = "" }) => ({
    meter,
    slot,
    ...(amount === undefined ? {} : { amount: BigInt(amount) }),
  }));
}
