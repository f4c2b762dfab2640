/**
 * The one error of the domain. Services and pure code throw it; one table (`server/errors.ts`) turns it into a gRPC
 * status with `google.rpc.ErrorInfo` and further details. Every dynamic word of a message is in `metadata` too.
 */
export class DomainError extends Error {
  override name = "DomainError";
  readonly reason: Reason;
  readonly metadata: Readonly<Record<string, string>>;
  readonly details: ErrorDetails;

  constructor(reason: Reason, message: string, metadata: Record<string, string> = {}, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.reason = reason;
    this.metadata = metadata;
    this.details = details;
  }

  /** The code of the error's reason, in the words of gRPC. */
  get code(): ErrorCode {
    return REASONS[this.reason].code;
  }
}

/** Every reason there is, with its code and what it means to a caller. */
export const REASONS = {
  INVALID_FIELDS: { code: "invalid_argument", meaning: "Fields of the request are invalid; BadRequest names each." },
  PAGE_TOKEN_INVALID: { code: "invalid_argument", meaning: "The page token is not one of this query, or too old." },
  REQUEST_ID_REUSED: { code: "invalid_argument", meaning: "The request id was used with another request." },
  REVISION_INVALID: { code: "invalid_argument", meaning: "The revision or resume token is not one of this database." },
  MESSAGE_MALFORMED: { code: "invalid_argument", meaning: "A message of the stream is not one of its type." },
  CREDENTIALS_MISSING: { code: "unauthenticated", meaning: "The call has no credentials." },
  CREDENTIALS_INVALID: { code: "unauthenticated", meaning: "The credentials are unknown, expired or revoked." },
  PERMISSION_DENIED: { code: "permission_denied", meaning: "The caller lacks the permission on the resource." },
  TENANT_NOT_ACTIVE: {
    code: "permission_denied",
    meaning: "The tenant that the caller belongs to, or that is to use something, is not ACTIVE.",
  },
  RESOURCE_NOT_FOUND: { code: "not_found", meaning: "There is no such resource." },
  RESOURCE_EXISTS: { code: "already_exists", meaning: "A resource of this name exists." },
  ILLEGAL_TRANSITION: { code: "failed_precondition", meaning: "The tenant's state does not allow the verb." },
  TENANT_DELETED: { code: "failed_precondition", meaning: "The tenant is deleted; undelete it first." },
  SCHEDULE_FINISHED: {
    code: "failed_precondition",
    meaning: "The schedule was applied or failed: it can't be changed.",
  },
  FLAG_TYPE_MISMATCH: { code: "invalid_argument", meaning: "The flag's values are of another type than asked for." },
  FLAG_UNREADABLE: { code: "data_loss", meaning: "The flag's definition can't be read." },
  FLAG_UNDECIDED: { code: "failed_precondition", meaning: "The flag can't be decided for this context." },
  HAS_DEPENDENTS: { code: "failed_precondition", meaning: "Other resources still use this one." },
  RESERVATION_RESOLVED: {
    code: "failed_precondition",
    meaning: "The reservation was committed, cancelled or expired.",
  },
  LEASE_ENDED: { code: "failed_precondition", meaning: "The lease was returned or has expired: acquire a new one." },
  GRANT_OVER: { code: "failed_precondition", meaning: "The grant is used up, expired or voided." },
  ETAG_MISMATCH: { code: "aborted", meaning: "The resource was written since you read it: read, redo, retry." },
  REQUEST_IN_PROGRESS: { code: "aborted", meaning: "The same request is being carried out: retry later." },
  WRITE_CONFLICT: { code: "aborted", meaning: "The write met another one: retry." },
  REVISION_COMPACTED: { code: "out_of_range", meaning: "The resume token is older than the kept changes: resync." },
  WATCHER_TOO_SLOW: { code: "resource_exhausted", meaning: "The stream was read too slowly: resume with its token." },
  MESSAGE_TOO_LARGE: {
    code: "resource_exhausted",
    meaning: "A message of the stream is larger than the server takes.",
  },
  QUOTA_EXHAUSTED: { code: "resource_exhausted", meaning: "A limit is used up; QuotaFailure names each." },
  RATE_LIMITED: { code: "resource_exhausted", meaning: "Too much within a window: retry when RetryInfo says." },
  SLOTS_TAKEN: { code: "resource_exhausted", meaning: "All slots are held: retry when one is released." },
  SEAT_LIMIT_REACHED: { code: "resource_exhausted", meaning: "All seats are taken; QuotaFailure names the limits." },
  TOO_MANY: { code: "failed_precondition", meaning: "There are as many of these as there may be: delete one first." },
  ENDPOINT_DISABLED: { code: "failed_precondition", meaning: "The webhook endpoint is disabled: enable it first." },
  OVERLOADED: { code: "resource_exhausted", meaning: "Too many of these at once: retry later." },
  SHUTTING_DOWN: { code: "unavailable", meaning: "This server is shutting down: retry, another one will answer." },
  DECISION_UNAVAILABLE: { code: "unavailable", meaning: "It could not be decided in time; nothing tells what to do." },
  DATABASE_UNAVAILABLE: { code: "unavailable", meaning: "The database can't be reached now: retry." },
  ISSUER_UNAVAILABLE: { code: "unavailable", meaning: "The identity provider's keys can't be read now: retry." },
  DEADLINE_EXCEEDED: { code: "deadline_exceeded", meaning: "The call took longer than its deadline." },
  CANCELLED: { code: "cancelled", meaning: "The caller cancelled the call." },
  INTERNAL: { code: "internal", meaning: "A fault of the server; its log has it under the request id." },
} as const satisfies Record<string, { code: ErrorCode; meaning: string }>;

/** The machine-readable reason of an error: UPPER_SNAKE_CASE, part of the API. */
export type Reason = keyof typeof REASONS;

/** gRPC's codes, in Connect's spelling. */
export type ErrorCode =
  | "invalid_argument"
  | "unauthenticated"
  | "permission_denied"
  | "not_found"
  | "already_exists"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "resource_exhausted"
  | "data_loss"
  | "unavailable"
  | "deadline_exceeded"
  | "cancelled"
  | "internal";

/** One bad field of a request; `field` is its proto path in snake_case, such as "tenant.display_name". */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

/** One unmet condition, as in google.rpc.PreconditionFailure. */
export interface PreconditionViolation {
  readonly type: string;
  readonly subject: string;
  readonly description: string;
}

/** One limit that refused, as in google.rpc.QuotaFailure. */
export interface QuotaViolation {
  /** Whose limit: "tenants/acme" or "integrators/north". */
  readonly subject: string;
  readonly description: string;
  readonly meter: string;
  readonly limitId: string;
  /** The effective amount. */
  readonly amount: bigint;
  /** What the limit is counted by, such as {tenant: "tenants/acme"}. */
  readonly dimensions?: Readonly<Record<string, string>>;
}

/** What an error carries beside its reason. */
export interface ErrorDetails {
  readonly violations?: readonly FieldViolation[];
  readonly preconditions?: readonly PreconditionViolation[];
  readonly resource?: { readonly type: string; readonly name: string };
  readonly quota?: readonly QuotaViolation[];
  /** Only when waiting helps. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** Collects every bad field of a request, so that a caller is told all of them at once. */
export class Problems {
  readonly violations: FieldViolation[] = [];

  add(field: string, description: string): void {
    this.violations.push({ field, description });
  }

  /** Throws INVALID_FIELDS when any field is bad. */
  throwIfAny(): void {
    if (this.violations.length > 0) throw invalidFields(this.violations);
  }
}

/** Says that fields of the request are invalid; of very many, the first are named and the rest counted. */
export function invalidFields(violations: readonly FieldViolation[], reason: Reason = "INVALID_FIELDS"): DomainError {
  const named = violations.slice(0, MAX_VIOLATIONS).map(({ field, description }) => ({
    field: clip(field, MAX_FIELD_CHARACTERS),
    description: clip(description, MAX_DESCRIPTION_CHARACTERS),
  }));
  const rest = violations.length - named.length;
  const fields = `${named.map(({ field }) => field).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
  const [first] = named;
  if (violations.length !== 1 || !first) {
    return new DomainError(reason, `invalid fields: ${fields}`, { fields }, { violations: named });
  }
  const { field, description } = first;
  return new DomainError(reason, `${field}: ${description}`, { fields, description }, { violations: named });
}

/**
 * Errors travel in gRPC trailers: some clients take no more than 16 KiB of them, and more than 64 KiB cost a caller the
 * connection with all other calls on it. So much always fits.
 */
const MAX_VIOLATIONS = 16;
/** The longest path we have, of a label, is shorter. */
const MAX_FIELD_CHARACTERS = 128;
/** The longest description we have, which lists the fields of a mask, is shorter. */
const MAX_DESCRIPTION_CHARACTERS = 300;

function clip(text: string, characters: number): string {
  return text.length <= characters ? text : `${text.slice(0, characters - 1).toWellFormed()}…`;
}

/** Says that one field of the request is invalid. */
export function invalidField(field: string, description: string, reason: Reason = "INVALID_FIELDS"): DomainError {
  return invalidFields([{ field, description }], reason);
}

/** Says that there is no such resource. */
export function notFound(type: string, name: string): DomainError {
  return new DomainError(
    "RESOURCE_NOT_FOUND",
    `${name} does not exist`,
    { resource: name },
    { resource: { type, name } },
  );
}

/** Says that the name is taken. */
export function alreadyExists(type: string, name: string): DomainError {
  return new DomainError("RESOURCE_EXISTS", `${name} exists already`, { resource: name }, { resource: { type, name } });
}

/** Says that the caller lacks a permission; the same whether the resource exists or not. */
export function permissionDenied(permission: string, resource: string): DomainError {
  return new DomainError("PERMISSION_DENIED", `permission ${permission} is needed on ${resource}`, {
    permission,
    resource,
  });
}

/** Says that a tenant's state does not allow a verb, and which verbs it does allow. */
export function illegalTransition(name: string, state: string, verb: string, allowed: readonly string[]): DomainError {
  const list = allowed.join(", ") || "none";
  return new DomainError(
    "ILLEGAL_TRANSITION",
    `${name} is ${state}: ${verb} is not allowed; allowed: ${list}`,
    { tenant: name, state, verb, allowed: list },
    { preconditions: [{ type: "TENANT_STATE", subject: name, description: `${state} allows ${list}` }] },
  );
}

/** Says that the resource has changed since the caller read it. */
export function etagMismatch(name: string): DomainError {
  return new DomainError("ETAG_MISMATCH", `${name} was changed since you read it`, { resource: name });
}
