import { fromJson, type JsonValue, type MessageInitShape } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { AuditEntry_Outcome, type AuditEntrySchema, AuditService } from "@tenantplane/sdk/gen/tenantplane/v1/audit_pb";
import { toTimestamp } from "../server/convert.ts";
import { type Mount, mount } from "../server/handlers.ts";
import { type AuditDeps, exportAuditEntries, listAuditEntries } from "./service.ts";
import type { AuditEntry } from "./store.ts";

/** The handlers of AuditService. */
export function auditRpc(deps: AuditDeps): Mount {
  return mount(AuditService, {
    listAuditEntries: async (request, ctx) => {
      const { items, token } = await listAuditEntries(deps, ctx, request);
      return { entries: items.map(toEntry), nextPageToken: token };
    },
    async *exportAuditEntries({ filter }, ctx) {
      for await (const entries of exportAuditEntries(deps, ctx, filter)) yield { entries: entries.map(toEntry) };
    },
  });
}

function toEntry(entry: AuditEntry): MessageInitShape<typeof AuditEntrySchema> {
  return {
    name: `auditEntries/${entry.id}`,
    entryTime: toTimestamp(entry.at),
    actor: entry.actor,
    method: entry.method,
    resource: entry.resource,
    requestId: entry.requestId,
    outcome: AuditEntry_Outcome[entry.outcome],
    changes: entry.changes.map(({ field, before, after }) => ({
      field,
      before: fromJson(ValueSchema, before as JsonValue),
      after: fromJson(ValueSchema, after as JsonValue),
    })),
    reason: entry.reason,
    callerAddress: entry.callerAddress,
  };
}
