import { create } from "@bufbuild/protobuf";
import { type QuotaEntry, QuotaEntrySchema } from "../gen/tenantplane/v1/quota_check_pb.ts";

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

/** A use as the protocol has it. Throws a RangeError for an amount that is no whole number. */
export function entriesOf(use: QuotaUse): QuotaEntry[] {
  if (typeof use === "string") return [entryOf({ meter: use })];
  return Array.isArray(use) ? use.map(entryOf) : [entryOf(use as QuotaAmount)];
}

function entryOf({ meter, amount, slot = "" }: QuotaAmount): QuotaEntry {
  return create(QuotaEntrySchema, { meter, slot, ...(amount === undefined ? {} : { amount: BigInt(amount) }) });
}
