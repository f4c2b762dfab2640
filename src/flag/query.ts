import type { FilterSchema } from "../aip/filter.ts";
import type { OrderField } from "../aip/order-by.ts";

const NAME = { type: "string", column: "('flags/' || flag_id)" } as const;
const KIND = {
  type: "enum",
  column: "upper(definition ->> 'kind')",
  values: ["BOOLEAN", "STRING", "NUMBER", "OBJECT"],
} as const;
const TIMES = {
  create_time: { type: "time", column: "created_at" },
  update_time: { type: "time", column: "updated_at" },
} as const;

/** What a filter over flags may name. */
export const FLAG_FILTER: FilterSchema = {
  name: NAME,
  kind: KIND,
  disabled: { type: "boolean", column: "(definition ->> 'state' = 'DISABLED')" },
  killed: { type: "boolean", column: "coalesce((definition ->> 'killed')::boolean, false)" },
  owner: { type: "string", column: "owner" },
  client_visible: { type: "boolean", column: "coalesce((definition ->> 'clientVisible')::boolean, false)" },
  tenant_overridable: { type: "boolean", column: "tenant_overridable" },
  labels: { type: "map", column: "labels" },
  expire_time: { type: "time", column: "expires_at" },
  ...TIMES,
};

/** The same for callers that are shown nothing else of a flag: a filter must not tell what an answer hides. */
export const OVERRIDABLE_FLAG_FILTER: FilterSchema = { name: NAME, kind: KIND };

/** What flags may be ordered by; each has an index. */
export const FLAG_ORDER: Readonly<Record<string, OrderField>> = {
  name: { column: "flag_id", cast: "text" },
  create_time: { column: "created_at", cast: "timestamptz" },
  update_time: { column: "updated_at", cast: "timestamptz" },
};

/** What a filter over segments may name. */
export const SEGMENT_FILTER: FilterSchema = {
  name: { type: "string", column: "('flagSegments/' || segment_id)" },
  ...TIMES,
};

/** What a filter over groups may name. */
export const GROUP_FILTER: FilterSchema = {
  name: { type: "string", column: "('flagGroups/' || group_id)" },
  ...TIMES,
};

/** What a filter over schedules may name. */
export const SCHEDULE_FILTER: FilterSchema = {
  name: { type: "string", column: "('flagSchedules/' || schedule_id)" },
  state: { type: "enum", column: "state", values: ["PENDING", "APPLIED", "FAILED"] },
  apply_time: { type: "time", column: "apply_at" },
  create_time: { type: "time", column: "created_at" },
};
