import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { UsageEvent as ProtoEvent, QueryUsageRequest } from "@tenantplane/sdk/gen/tenantplane/v1/usage_pb";
import { QueryUsageRequest_Window } from "@tenantplane/sdk/gen/tenantplane/v1/usage_pb";
import { parseId, TENANT_ID } from "../aip/name.ts";
import { DomainError, invalidField, Problems } from "../errors.ts";
import type { Tenant } from "../tenant/tenant.ts";
import type { UsageEvent } from "./event.ts";
import type { UsageQuestion } from "./query-service.ts";
import type { Window } from "./window.ts";

/** The events of one request: what a caller gathers in a second, and a message of some megabytes. */
export const EVENTS_MAX = 1_000;
/** An event tells of one thing. */
const DATA_MAX_CHARACTERS = 16_384;
/** What is older belongs to a period that is closed; it can be put in by a correction. */
const AGE_MAX_MS = 31 * 86_400_000;
/** Clocks differ by so much, and no more. */
const AHEAD_MAX_MS = 5 * 60_000;
/** A question that spans more is two questions. */
const RANGE_MAX_MS = 3 * 366 * 86_400_000;

/** An event, permitted and with its tenant found. Throws INVALID_FIELDS, PERMISSION_DENIED and RESOURCE_NOT_FOUND. */
export async function parseEvent(
  event: ProtoEvent,
  now: number,
  tenantOf: (tenantId: string) => Promise<Tenant>,
): Promise<UsageEvent> {
  const tenantId = event.tenant.startsWith("tenants/") ? event.tenant.slice("tenants/".length) : "";
  const problems = new Problems();
  if (!TENANT_ID.test(tenantId)) problems.add("tenant", "must be a name of the form tenants/{tenant}");
  checkWord(problems, "source", event.source, 200);
  checkWord(problems, "id", event.id, 200);
  checkWord(problems, "type", event.type, 128);
  const at = event.eventTime ? timestampMs(event.eventTime) : now;
  if (at < now - AGE_MAX_MS) problems.add("event_time", "must be at most 31 days ago");
  if (at > now + AHEAD_MAX_MS) problems.add("event_time", "must be at most 5 minutes from now");
  const data = (event.data ?? {}) as UsageEvent["data"];
  const text = JSON.stringify(data);
  if (text.length > DATA_MAX_CHARACTERS)
    problems.add("data", `must be at most ${DATA_MAX_CHARACTERS} characters of JSON`);
  // JSON can say what Postgres' can't.
  if (text.includes("\\u0000") || !text.isWellFormed() || /\\ud[89a-f]/i.test(text)) {
    problems.add("data", "must hold no NUL and no halves of characters");
  }
  problems.throwIfAny();
  const tenant = await tenantOf(tenantId);
  return { tenantUid: tenant.uid, tenantId, source: event.source, id: event.id, type: event.type, at, data };
}

function checkWord(problems: Problems, field: string, value: string, max: number): void {
  if (value.length < 1 || value.length > max || /[\p{Cc}\p{Cs}]/u.test(value)) {
    problems.add(field, `must have 1 to ${max} characters, none of them a control character`);
  }
}

const WINDOWS: Readonly<Record<number, Window>> = {
  [QueryUsageRequest_Window.MINUTE]: "minute",
  [QueryUsageRequest_Window.HOUR]: "hour",
  [QueryUsageRequest_Window.DAY]: "day",
  [QueryUsageRequest_Window.MONTH]: "month",
};

/** A question. Throws INVALID_FIELDS with every bad field. */
export function parseQuestion(request: QueryUsageRequest): UsageQuestion {
  const meterId = parseId(request.meter, "meters", "meter");
  const problems = new Problems();
  const range = parseRange(problems, request, RANGE_MAX_MS);
  const timeZone = request.timeZone || "UTC";
  const offsets = zoneOffsets(timeZone, range);
  if (!offsets) problems.add("time_zone", "must be an IANA time zone, such as Europe/Berlin");
  if (!(request.window in WINDOWS) && request.window !== 0) problems.add("window", "is none that this server knows");
  if (request.dimensions.length > 6) problems.add("dimensions", "must have at most 6 entries");
  if (new Set(request.dimensions).size < request.dimensions.length)
    problems.add("dimensions", "must not name anything twice");
  if (request.top < 0) problems.add("top", "must not be negative");
  problems.throwIfAny();
  return {
    meterId,
    scope: parseScope(request.scope),
    ...range,
    window: WINDOWS[request.window],
    timeZone,
    offsetsMs: offsets ?? [],
    groupBy: request.dimensions,
    top: request.top,
  };
}

/** A range of whole minutes; every problem is added. */
export function parseRange(
  problems: Problems,
  request: Pick<QueryUsageRequest, "startTime" | "endTime">,
  maxMs: number,
): { startAt: number; endAt: number } {
  const startAt = request.startTime ? timestampMs(request.startTime) : Number.NaN;
  const endAt = request.endTime ? timestampMs(request.endTime) : Number.NaN;
  for (const [field, at] of [
    ["start_time", startAt],
    ["end_time", endAt],
  ] as const) {
    if (Number.isNaN(at) || at % 60_000 !== 0) problems.add(field, "must be a whole minute");
  }
  if (endAt <= startAt) problems.add("end_time", "must be after start_time");
  if (endAt - startAt > maxMs) problems.add("end_time", `must be at most ${maxMs / 86_400_000} days after start_time`);
  return { startAt, endAt };
}

function parseScope(scope: string): UsageQuestion["scope"] {
  if (scope === "") return undefined;
  if (scope.startsWith("integrators/")) return { kind: "integrator", id: parseId(scope, "integrators", "scope") };
  return { kind: "tenant", id: parseId(scope, "tenants", "scope") };
}

// The offsets at some instants of the range: of every week, and at its ends. They change twice a year.
function zoneOffsets(timeZone: string, range: { startAt: number; endAt: number }): number[] | undefined {
  if (!/^[A-Za-z0-9_+/-]{1,64}$/.test(timeZone) || Number.isNaN(range.startAt) || Number.isNaN(range.endAt)) {
    return /^[A-Za-z0-9_+/-]{1,64}$/.test(timeZone) ? [] : undefined;
  }
  try {
    const offsets = new Set<number>();
    for (let at = range.startAt; at < range.endAt; at += WEEK_MS) offsets.add(offsetAt(timeZone, at));
    offsets.add(offsetAt(timeZone, range.endAt - 1));
    return [...offsets];
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

const WEEK_MS = 7 * 86_400_000;

function offsetAt(timeZone: string, at: number): number {
  return Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(timeZone).offsetNanoseconds / 1_000_000;
}

/** Refuses a batch that is empty or too large. */
export function checkBatch(events: readonly unknown[]): void {
  if (events.length < 1 || events.length > EVENTS_MAX)
    throw invalidField("events", `must be 1 to ${EVENTS_MAX} events`);
}

/** What a refusal of one event tells; anything but the caller's fault is thrown on. */
export function refusalOf(error: unknown): { reason: string; message: string } {
  if (error instanceof DomainError && REFUSALS.has(error.code)) return { reason: error.reason, message: error.message };
  throw error;
}

const REFUSALS = new Set(["invalid_argument", "permission_denied", "not_found", "failed_precondition"]);
