import { fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import * as grpc from "@grpc/grpc-js";
import { type Status, StatusSchema } from "./gen/google/rpc/status_pb.ts";

/** The status of a call on grpc-js as the error that Connect's clients throw, with its details. */
export function toConnectError(status: Pick<grpc.StatusObject, "code" | "details" | "metadata">): ConnectError {
  const sent = readStatus(status.metadata);
  const code = !sent && isCut(status) ? Code.Unavailable : (status.code as number as Code);
  const error = new ConnectError(sent?.message || status.details, code, toHeaders(status.metadata));
  error.details = (sent?.details ?? []).map(({ typeUrl, value }) => ({
    type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
    value,
  }));
  return error;
}

/** Metadata of gRPC as headers; binary values are in base64. */
export function toHeaders(metadata: grpc.Metadata, headers: Headers = new Headers()): Headers {
  for (const [name, value] of Object.entries(metadata.toHttp2Headers())) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) headers.append(name, String(one));
  }
  return headers;
}

/** Headers as metadata of gRPC. Throws a ConnectError for a value that gRPC can't carry. */
export function toMetadata(headers: Headers): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of headers) {
    if (name.endsWith("-bin")) {
      for (const part of value.split(",")) metadata.add(name, Buffer.from(part.trim(), "base64"));
    } else if (/^[ -~]*$/.test(value)) metadata.add(name, value);
    else throw new ConnectError(`header ${name} must be printable ASCII`, Code.InvalidArgument);
  }
  return metadata;
}

// A server that ends its connections, or dies, leaves a status of the library's own making, which names the reset.
function isCut({ code, details }: Pick<grpc.StatusObject, "code" | "details">): boolean {
  return (
    (code === grpc.status.CANCELLED && details === "Call cancelled") ||
    (code === grpc.status.INTERNAL && details.startsWith("Received RST_STREAM with code"))
  );
}

function readStatus(metadata: grpc.Metadata): Status | undefined {
  const [bytes] = metadata.get("grpc-status-details-bin");
  if (!(bytes instanceof Uint8Array)) return undefined;
  try {
    return fromBinary(StatusSchema, bytes);
  } catch {
    // Details of a server that is not Tenantplane: code and message are enough.
    return undefined;
  }
}
