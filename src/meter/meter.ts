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
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** The meter that the server keeps itself: the users of a tenant. */
export const SEATS_METER = "seats";

/** The name of a meter. */
export function meterName(meterId: string): string {
  return `meters/${meterId}`;
}

/** A meter as the audit log tells of it. */
export function auditView(meter: Meter): Record<string, unknown> {
  const { displayName, kind, unit, description } = meter;
  return { name: meterName(meter.meterId), display_name: displayName, kind, unit, description };
}

/** Checks that a limit's meter exists and that its rule counts as the meter does; adds problems under `field`. */
export function checkMeter(problems: Problems, field: string, limit: Limit, kind: MeterKind | undefined): void {
  const { meter, rule } = limit;
  if (!kind) problems.add(`${field}.meter`, `there is no meter "${meter}"`);
  else if (rule.kind !== kind) problems.add(`${field}.rule`, `must be for meters of kind ${kind}, as "${meter}" is`);
}
