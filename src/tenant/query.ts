import type { FilterSchema } from "../aip/filter.ts";
import type { OrderField } from "../aip/order-by.ts";
import { TENANT_STATES } from "./lifecycle.ts";

/** What a filter over tenants may name. */
export const TENANT_FILTER: FilterSchema = {
  name: { type: "string", column: "('tenants/' || tenant_id)" },
  display_name: { type: "string", column: "display_name" },
  state: { type: "enum", column: "state", values: TENANT_STATES },
  plan: { type: "string", column: "('plans/' || plan_id)" },
  integrator: { type: "string", column: "('integrators/' || integrator_id)" },
  region: { type: "string", column: "region" },
  labels: { type: "map", column: "labels" },
  create_time: { type: "time", column: "created_at" },
  update_time: { type: "time", column: "updated_at" },
};

/** What tenants may be ordered by; each has an index. */
export const TENANT_ORDER: Readonly<Record<string, OrderField>> = {
  name: { column: "tenant_id", cast: "text" },
  display_name: { column: "display_name", cast: "text" },
  create_time: { column: "created_at", cast: "timestamptz" },
  update_time: { column: "updated_at", cast: "timestamptz" },
};
