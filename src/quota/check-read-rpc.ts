// Reads the requests of the hot path by hand: at a hundred thousand checks a second a node would spend most of its time on
// messages as objects. Bytes that are no message throw, as they do in the library.
import { BinaryReader } from "@bufbuild/protobuf/wire";
import type {
  BatchCheckQuotaRequest,
  CheckQuotaRequest,
  QuotaEntry,
  QuotaMode,
  StreamedQuotaCheck,
  StreamQuotaChecksRequest,
} from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import { delimited, endOf, skip, varint } from "@tenantplane/sdk/wire";
import type { Readers } from "../server/handlers.ts";

/** The readers of the RPCs that come in such numbers, by the RPC's local name. */
export const CHECK_READERS = {
  checkQuota: readCheckRequest,
  batchCheckQuota: readBatchRequest,
  streamQuotaChecks: readStreamRequest,
} as const satisfies Readers;

function readCheckRequest(bytes: Uint8Array): CheckQuotaRequest {
  const reader = new BinaryReader(bytes);
  return readCheck(reader, reader.len);
}

function readBatchRequest(bytes: Uint8Array): BatchCheckQuotaRequest {
  const reader = new BinaryReader(bytes);
  const requests: CheckQuotaRequest[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === delimited(1)) requests.push(readCheck(reader, endOf(reader)));
    else skip(reader, tag);
  }
  return { $typeName: "tenantplane.v1.BatchCheckQuotaRequest", requests };
}

function readStreamRequest(bytes: Uint8Array): StreamQuotaChecksRequest {
  const reader = new BinaryReader(bytes);
  const checks: StreamedQuotaCheck[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === delimited(1)) checks.push(readStreamed(reader, endOf(reader)));
    else skip(reader, tag);
  }
  return { $typeName: "tenantplane.v1.StreamQuotaChecksRequest", checks };
}

function readStreamed(reader: BinaryReader, end: number): StreamedQuotaCheck {
  let id = 0n;
  let request: CheckQuotaRequest | undefined;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === varint(1)) id = BigInt(reader.uint64());
    else if (tag === delimited(2)) request = readCheck(reader, endOf(reader));
    else skip(reader, tag);
  }
  return { $typeName: "tenantplane.v1.StreamedQuotaCheck", id, ...(request ? { request } : {}) };
}

function readCheck(reader: BinaryReader, end: number): CheckQuotaRequest {
  const entries: QuotaEntry[] = [];
  let [tenant, requestId, mode, enforce] = ["", "", 0, false];
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === delimited(1)) tenant = reader.string();
    else if (tag === delimited(2)) entries.push(readEntry(reader, endOf(reader)));
    else if (tag === varint(3)) mode = reader.int32();
    else if (tag === delimited(4)) requestId = reader.string();
    else if (tag === varint(5)) enforce = reader.bool();
    else skip(reader, tag);
  }
  return {
    $typeName: "tenantplane.v1.CheckQuotaRequest",
    tenant,
    entries,
    mode: mode as QuotaMode,
    requestId,
    enforce,
  };
}

function readEntry(reader: BinaryReader, end: number): QuotaEntry {
  let [meter, slot] = ["", ""];
  let amount: bigint | undefined;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === delimited(1)) meter = reader.string();
    else if (tag === varint(2)) amount = BigInt(reader.int64());
    else if (tag === delimited(3)) slot = reader.string();
    else skip(reader, tag);
  }
  return { $typeName: "tenantplane.v1.QuotaEntry", meter, slot, ...(amount === undefined ? {} : { amount }) };
}
