import type { Problems } from "../errors.ts";
import type { Limit, MeterKind } from "../limit.ts";

/** What is counted, as plain data. */
export interface Meter {
  readonly uid: string;
  readonly meterId: string;
  readonly displayName: string;
  readonly kind: MeterKind;
  readonly unit: string;
  readonly description: string;
  /** The usage events that it counts; null for none. */
  readonly eventSource: EventSource | null;
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** How values of events come together. */
export const AGGREGATIONS = ["SUM", "COUNT", "MAX", "LATEST", "UNIQUE_COUNT"] as const;
export type Aggregation = (typeof AGGREGATIONS)[number];

/** Which usage events a meter counts, and how. Properties are dotted paths into their data. */
export interface EventSource {
  readonly eventType: string;
  readonly aggregation: Aggregation;
  /** Empty for COUNT. */
  readonly valueProperty: string;
  /** Paths by the dimensions' names. */
  readonly dimensions: Readonly<Record<string, string>>;
}

/** The meter that the server keeps itself: the users of a tenant. */
export const SEATS_METER = "seats";

/** The name of a meter. */
export function meterName(meterId: string): string {
  return `meters/${meterId}`;
}

/** A meter as the audit log tells of it. */
export function auditView(meter: Meter): Record<string, unknown> {
  const { displayName, kind, unit, description, eventSource } = meter;
  const source = eventSource && {
    event_type: eventSource.eventType,
    aggregation: eventSource.aggregation,
    value_property: eventSource.valueProperty,
    dimensions: eventSource.dimensions,
  };
  return { name: meterName(meter.meterId), display_name: displayName, kind, unit, description, event_source: source };
}

/** Checks that a limit's meter exists and that its rule counts as the meter does; adds problems under `field`. */
export function checkMeter(problems: Problems, field: string, limit: Limit, kind: MeterKind | undefined): void {
  const { meter, rule } = limit;
  if (!kind) problems.add(`${field}.meter`, `there is no meter "${meter}"`);
  else if (rule.kind !== kind) problems.add(`${field}.rule`, `must be for meters of kind ${kind}, as "${meter}" is`);
}
