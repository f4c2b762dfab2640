import type { Duration } from "@bufbuild/protobuf/wkt";
import {
  type CheckQuotaRequest,
  type QuotaEntry as ProtoEntry,
  QuotaMode,
} from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import { METER_ID, parseId, TENANT_ID } from "../aip/name.ts";
import { hex } from "../auth/key.ts";
import { Problems } from "../errors.ts";
import { durationMs } from "../server/convert.ts";
import type { Check, CheckMode, Entry } from "./decision.ts";

/** One use touches so many meters at most; each may have several limits, and all are decided in one step. */
const ENTRIES_MAX = 16;
/** The hot state counts in safe integers. */
const AMOUNT_MAX = BigInt(Number.MAX_SAFE_INTEGER);
/** A hold shorter than a second is over before its answer is read; one longer than a day is better made anew. */
const HOLD_TTL_MS = { fallback: 60_000, min: 1_000, max: 86_400_000 };
/** What a client that dies has leased is away for so long. */
const LEASE_TTL_MS = { fallback: 10_000, min: 1_000, max: 3_600_000 };

const SLOT = /^[A-Za-z0-9_.:-]{1,64}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The tenant that a check is of. Throws INVALID_FIELDS. */
export function parseTenant(name: string): string {
  const id = name.slice(TENANTS.length);
  // The same as below, for those hundred thousand a second that are well-formed.
  if (name.startsWith(TENANTS) && TENANT_ID.test(id)) return id;
  return parseId(name, "tenants", "tenant");
}

const TENANTS = "tenants/";

/** A check of this tenant as plain data. Throws INVALID_FIELDS with every bad field. */
export function parseCheck(request: CheckQuotaRequest, tenantId: string, sha256: Sha256): Check {
  const problems = new Problems();
  const entries = parseEntries(problems, "entries", request.entries);
  const mode = MODES[request.mode];
  if (!mode) problems.add("mode", "is none that this server knows");
  const { requestId } = request;
  if (requestId !== "" && !UUID.test(requestId)) problems.add("request_id", "must be a UUID");
  problems.throwIfAny();
  const check = { tenantId, entries, mode: mode ?? "CONSUME" };
  if (requestId === "") return { ...check, idempotency: undefined };
  return { ...check, idempotency: { requestId: requestId.toLowerCase(), hash: hashOf(check, sha256) } };
}

type Sha256 = (text: string) => Uint8Array;

/** Entries of different meters, 1 to 16 of them; every bad field becomes a problem. */
export function parseEntries(problems: Problems, field: string, entries: readonly ProtoEntry[]): Entry[] {
  if (entries.length < 1 || entries.length > ENTRIES_MAX) {
    problems.add(field, `must have 1 to ${ENTRIES_MAX} entries`);
    return [];
  }
  return entries.map((entry, index) => {
    const { meter, amount = 1n, slot } = entry;
    checkMeter(problems, `${field}[${index}].meter`, meter);
    if (index > 0 && entries.findIndex((other) => other.meter === meter) < index) {
      problems.add(`${field}[${index}].meter`, "is used twice");
    }
    if (slot !== "" && !SLOT.test(slot)) problems.add(`${field}[${index}].slot`, "must be 1 to 64 of [A-Za-z0-9_.:-]");
    const parsed = parseAmount(problems, `${field}[${index}].amount`, amount);
    return { meter, amount: parsed, slot: slot === "" ? undefined : slot };
  });
}

/** A meter's id by its form; whether there is such a meter, the limits tell. */
export function checkMeter(problems: Problems, field: string, meter: string): void {
  if (!METER_ID.test(meter)) problems.add(field, "must be 1 to 63 of [a-z0-9_.], first a letter");
}

/** An amount that the hot state can count; a problem on `field` when it is none. */
export function parseAmount(problems: Problems, field: string, amount: bigint, min = 0n): number {
  if (amount < min || amount > AMOUNT_MAX) problems.add(field, `must be from ${min} to ${AMOUNT_MAX}`);
  return Number(amount);
}

/** For how long amounts are set aside. */
export function parseHoldTtl(problems: Problems, ttl: Duration | undefined): number {
  return Math.floor(durationMs(problems, "ttl", ttl, HOLD_TTL_MS));
}

/** For how long an amount is leased; undefined leaves it as it was. */
export function parseLeaseTtl(problems: Problems, ttl: Duration | undefined): number {
  return Math.floor(durationMs(problems, "ttl", ttl, LEASE_TTL_MS));
}

const MODES: Readonly<Record<number, CheckMode>> = {
  [QuotaMode.UNSPECIFIED]: "CONSUME",
  [QuotaMode.CONSUME]: "CONSUME",
  [QuotaMode.CHECK_ONLY]: "CHECK_ONLY",
  [QuotaMode.BEST_EFFORT]: "BEST_EFFORT",
  [QuotaMode.FORCE]: "FORCE",
};

// What a request id is bound to: the same whether the check came alone, in a batch or on a stream. Most are short enough
// to stand for themselves.
function hashOf({ mode, entries }: Pick<Check, "mode" | "entries">, sha256: Sha256): string {
  let text: string = mode;
  for (const { meter, amount, slot } of entries) text += ` ${meter}:${amount}${slot === undefined ? "" : `:${slot}`}`;
  return text.length <= HASH_CHARACTERS ? text : hex(sha256(text));
}

/** As long as a SHA-256 in hexadecimal. */
const HASH_CHARACTERS = 64;
