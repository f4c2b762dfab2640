import type { Evaluation } from "@tenantplane/sdk/evaluate";
import { type Refusal, type RouteAnswer, retryAfter } from "../server/route.ts";
import { metadataOf } from "./flagd-resolve-rpc.ts";

/** An evaluation in OFREP's form: without a value, the caller's default is meant. */
export function toResult(key: string, evaluation: Evaluation, tenantId: string): Record<string, unknown> {
  const { value, variant, reason, errorCode, errorMessage } = evaluation;
  const metadata = metadataOf(evaluation, tenantId);
  if (errorCode !== undefined) {
    return { key, errorCode: CODES.has(errorCode) ? errorCode : "GENERAL", errorDetails: errorMessage, metadata };
  }
  return { key, reason, ...(value === undefined ? {} : { value, variant }), metadata };
}

/** The protocol's error codes. */
const CODES: ReadonlySet<string> = new Set([
  "FLAG_NOT_FOUND",
  "PARSE_ERROR",
  "TARGETING_KEY_MISSING",
  "INVALID_CONTEXT",
  "GENERAL",
]);

/** The status of one result. */
export function statusOf({ errorCode }: Evaluation): number {
  if (errorCode === undefined) return 200;
  return errorCode === "FLAG_NOT_FOUND" ? 404 : 400;
}

/**
 * A refusal in OFREP's form. Clients can read an error code of the statuses 400, 404 and 500 alone; what is wrong with the
 * body is the context.
 */
export function refuse(
  { status, error, message }: Refusal,
  { parameters }: { parameters: Record<string, string> },
): RouteAnswer {
  const ofBody = error.reason === "MESSAGE_TOO_LARGE" || error.reason === "MESSAGE_MALFORMED";
  const errorCode = ofBody ? "INVALID_CONTEXT" : "GENERAL";
  const wait = status === 429 ? { "retry-after": "1", ...retryAfter(error) } : retryAfter(error);
  // Who asks for a tenant that is not there has not asked for a flag that is not there.
  return {
    status: ofBody || status === 404 ? 400 : status,
    headers: wait,
    json: { ...parameters, errorCode, errorDetails: message },
  };
}
