import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import * as grpc from "@grpc/grpc-js";
import { StatusSchema } from "@tenantplane/sdk/gen/google/rpc/status_pb";

/** A thrown thing as gRPC sends it: a ConnectError with its details, and nothing of any other but "internal error". */
export function toServiceError(error: unknown): grpc.ServiceError {
  const known = error instanceof ConnectError ? error : new ConnectError("internal error", Code.Internal);
  const details = known.details.map((detail) =>
    "desc" in detail
      ? { typeUrl: typeUrl(detail.desc.typeName), value: toBinary(detail.desc, create(detail.desc, detail.value)) }
      : { typeUrl: typeUrl(detail.type), value: detail.value },
  );
  // Half of a surrogate pair, as a message cut short leaves it, makes the library throw where nobody can catch it.
  const message = known.rawMessage.toWellFormed();
  const metadata = new grpc.Metadata();
  const status = create(StatusSchema, { code: known.code, message, details });
  metadata.set("grpc-status-details-bin", Buffer.from(toBinary(StatusSchema, status)));
  return Object.assign(new Error(message), { code: known.code as number as grpc.status, details: message, metadata });
}

function typeUrl(typeName: string): string {
  return `type.googleapis.com/${typeName}`;
}
