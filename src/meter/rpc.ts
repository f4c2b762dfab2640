import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  Meter_Kind,
  MeterEventSource_Aggregation,
  type MeterSchema,
  type Meter as ProtoMeter,
} from "@tenantplane/sdk/gen/tenantplane/v1/quota_admin_pb";
import type { QuotaService } from "@tenantplane/sdk/gen/tenantplane/v1/quota_pb";
import { checkedFields, maskedFields } from "../aip/field-mask.ts";
import { checkText, etagOf, METER_ID, parseId } from "../aip/name.ts";
import { invalidField, Problems } from "../errors.ts";
import type { MeterKind } from "../limit.ts";
import { toTimestamp } from "../server/convert.ts";
import type { Handlers } from "../server/handlers.ts";
import { AGGREGATIONS, type EventSource, type Meter, meterName } from "./meter.ts";
import {
  createMeter,
  deleteMeter,
  getMeter,
  listMeters,
  type MeterDeps,
  type MeterPatch,
  updateMeter,
} from "./service.ts";

type MeterRpcs = "createMeter" | "getMeter" | "listMeters" | "updateMeter" | "deleteMeter";

/** The handlers of QuotaService for meters. */
export function meterRpc(deps: MeterDeps): Pick<Handlers<typeof QuotaService>, MeterRpcs> {
  const id = (name: string, field = "name") => parseId(name, "meters", field);
  return {
    createMeter: async ({ meterId, meter }, ctx) => {
      if (!meter) throw invalidField("meter", "must be set");
      const problems = new Problems();
      if (!METER_ID.test(meterId)) problems.add("meter_id", "must be 1 to 63 of [a-z0-9_.], first a letter");
      checkTexts(problems, meter);
      const eventSource = parseSource(problems, meter.eventSource);
      const kind = KINDS[meter.kind];
      if (!kind) problems.add("meter.kind", "must be RATE, PERIOD, GAUGE or CONCURRENCY");
      problems.throwIfAny();
      const { displayName, unit, description } = meter;
      const input = { meterId, displayName, kind: kind ?? "RATE", unit, description, eventSource };
      return { meter: toMeter(await createMeter(deps, ctx, input)) };
    },
    getMeter: async ({ name }, ctx) => ({ meter: toMeter(await getMeter(deps, ctx, id(name))) }),
    listMeters: async (request, ctx) => {
      const { items, token } = await listMeters(deps, ctx, request);
      return { meters: items.map(toMeter), nextPageToken: token };
    },
    updateMeter: async ({ meter, updateMask }, ctx) => {
      if (!meter) throw invalidField("meter", "must be set");
      const patch = patchOf(meter, updateMask?.paths);
      return { meter: toMeter(await updateMeter(deps, ctx, id(meter.name, "meter.name"), meter.etag, patch)) };
    },
    deleteMeter: async ({ name, etag, allowMissing }, ctx) => {
      await deleteMeter(deps, ctx, { meterId: id(name), etag, allowMissing });
      return {};
    },
  };
}

const KINDS: Readonly<Record<number, MeterKind>> = { 1: "RATE", 2: "PERIOD", 3: "GAUGE", 4: "CONCURRENCY" };

const FIELDS = {
  display_name: "writable",
  unit: "writable",
  description: "writable",
  event_source: "writable",
  kind: "immutable",
  name: "output",
  etag: "output",
  create_time: "output",
  update_time: "output",
} as const;

function patchOf(meter: ProtoMeter, mask: readonly string[] | undefined): MeterPatch {
  const populated = [
    ...(meter.displayName ? ["display_name"] : []),
    ...(meter.unit ? ["unit"] : []),
    ...(meter.description ? ["description"] : []),
    ...(meter.eventSource ? ["event_source"] : []),
  ];
  const problems = new Problems();
  checkTexts(problems, meter);
  const eventSource = parseSource(problems, meter.eventSource);
  const fields = checkedFields(maskedFields(mask, populated, FIELDS), problems);
  return {
    ...(fields.has("display_name") ? { displayName: meter.displayName } : {}),
    ...(fields.has("unit") ? { unit: meter.unit } : {}),
    ...(fields.has("description") ? { description: meter.description } : {}),
    ...(fields.has("event_source") ? { eventSource } : {}),
  };
}

function checkTexts(problems: Problems, meter: ProtoMeter): void {
  checkText(problems, "meter.display_name", meter.displayName, 1, 63);
  checkText(problems, "meter.unit", meter.unit, 0, 32);
  checkText(problems, "meter.description", meter.description, 0, 500);
}

/** As many as a table of usage has room for. */
const DIMENSIONS_MAX = 5;
const PATH = /^[^\p{Cc}\p{Cs}.]{1,64}(\.[^\p{Cc}\p{Cs}.]{1,64}){0,7}$/u;

function parseSource(problems: Problems, source: ProtoMeter["eventSource"]): EventSource | null {
  if (!source) return null;
  const field = "meter.event_source";
  checkText(problems, `${field}.event_type`, source.eventType, 1, 128);
  const aggregation = AGGREGATIONS[source.aggregation - 1];
  if (!aggregation) problems.add(`${field}.aggregation`, `must be one of ${AGGREGATIONS.join(", ")}`);
  if (aggregation === "COUNT" ? source.valueProperty !== "" : !PATH.test(source.valueProperty)) {
    problems.add(`${field}.value_property`, "must be a path such as usage.bytes, and empty for COUNT");
  }
  const dimensions = Object.entries(source.dimensions);
  if (dimensions.length > DIMENSIONS_MAX) problems.add(`${field}.dimensions`, `must be at most ${DIMENSIONS_MAX}`);
  for (const [name, path] of dimensions.slice(0, DIMENSIONS_MAX)) {
    if (/^[a-z][a-z0-9_]{0,31}$/.test(name) && name !== "tenant" && PATH.test(path)) continue;
    problems.add(`${field}.dimensions`, 'names must be 1 to 32 of [a-z0-9_], none "tenant", and have a path each');
  }
  const { eventType, valueProperty } = source;
  return { eventType, aggregation: aggregation ?? "COUNT", valueProperty, dimensions: { ...source.dimensions } };
}

function toMeter(meter: Meter): MessageInitShape<typeof MeterSchema> {
  return {
    name: meterName(meter.meterId),
    displayName: meter.displayName,
    kind: Meter_Kind[meter.kind],
    unit: meter.unit,
    description: meter.description,
    etag: etagOf(meter.uid, meter.revision),
    createTime: toTimestamp(meter.createdAt),
    updateTime: toTimestamp(meter.updatedAt),
    ...(meter.eventSource
      ? {
          eventSource: {
            ...meter.eventSource,
            aggregation: MeterEventSource_Aggregation[meter.eventSource.aggregation],
            dimensions: { ...meter.eventSource.dimensions },
          },
        }
      : {}),
  };
}
