import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  QuotaFailureSchema,
  RequestInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "@tenantplane/sdk/gen/google/rpc/error_details_pb";
import { DomainError, type ErrorCode, type QuotaViolation, type Reason } from "../errors.ts";
import { databaseError } from "../mutation.ts";
import { toDuration } from "./convert.ts";

/** The one table from the domain's codes to gRPC's. */
export const CODES: Readonly<Record<ErrorCode, Code>> = {
  invalid_argument: Code.InvalidArgument,
  unauthenticated: Code.Unauthenticated,
  permission_denied: Code.PermissionDenied,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  failed_precondition: Code.FailedPrecondition,
  aborted: Code.Aborted,
  out_of_range: Code.OutOfRange,
  resource_exhausted: Code.ResourceExhausted,
  data_loss: Code.DataLoss,
  unavailable: Code.Unavailable,
  deadline_exceeded: Code.DeadlineExceeded,
  cancelled: Code.Canceled,
  internal: Code.Internal,
};

/** The domain of every ErrorInfo. */
const ERROR_DOMAIN = "tenantplane.dev";

/** Any thrown thing as a DomainError: a fault of ours shows nothing but that it is one. */
export function toDomainError(error: unknown): DomainError {
  const known = databaseError(error);
  if (known instanceof DomainError) return known;
  const transport = error instanceof ConnectError ? TRANSPORT_REASONS.get(error.code) : undefined;
  if (transport) return new DomainError(transport, (error as ConnectError).rawMessage, {}, { cause: error });
  return new DomainError("INTERNAL", "internal error", {}, { cause: error });
}

/** What a transport says while it reads a client's stream, or of the caller's leave. */
const TRANSPORT_REASONS: ReadonlyMap<Code, Reason> = new Map([
  [Code.InvalidArgument, "MESSAGE_MALFORMED"],
  [Code.ResourceExhausted, "MESSAGE_TOO_LARGE"],
  [Code.DeadlineExceeded, "DEADLINE_EXCEEDED"],
  [Code.Canceled, "CANCELLED"],
  [Code.Aborted, "CANCELLED"],
]);

/** A DomainError as callers see it: code, message and google.rpc details, ErrorInfo always among them. Its cause is the DomainError. */
export function toConnectError(error: DomainError, callId: string): ConnectError {
  const { violations, preconditions, resource, quota, retryAfterMs } = error.details;
  const { reason, metadata } = error;
  const message = reason === "INTERNAL" ? `internal error; request ${callId}` : error.message;
  const details = [
    { desc: ErrorInfoSchema, value: { reason, domain: ERROR_DOMAIN, metadata: { ...metadata } } },
    { desc: RequestInfoSchema, value: { requestId: callId } },
    ...(violations ? [{ desc: BadRequestSchema, value: { fieldViolations: violations.map((v) => ({ ...v })) } }] : []),
    ...(preconditions
      ? [{ desc: PreconditionFailureSchema, value: { violations: preconditions.map((v) => ({ ...v })) } }]
      : []),
    ...(resource
      ? [{ desc: ResourceInfoSchema, value: { resourceType: resource.type, resourceName: resource.name } }]
      : []),
    ...(quota ? [{ desc: QuotaFailureSchema, value: { violations: quota.map(toQuotaViolation) } }] : []),
    ...(retryAfterMs === undefined
      ? []
      : [
          {
            desc: RetryInfoSchema,
            value: create(RetryInfoSchema, { retryDelay: toDuration(Math.ceil(retryAfterMs)) }),
          },
        ]),
  ];
  return new ConnectError(message, CODES[error.code], undefined, details, error);
}

function toQuotaViolation({ subject, description, meter, limitId, amount, dimensions = {} }: QuotaViolation) {
  return {
    subject,
    description,
    apiService: "tenantplane.v1.QuotaService",
    quotaMetric: meter,
    quotaId: limitId,
    quotaDimensions: { ...dimensions },
    quotaValue: amount,
  };
}
