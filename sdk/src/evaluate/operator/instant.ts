/** Reads an instant: RFC 3339 text with a zone, or epoch milliseconds. Undefined when it is neither. */
export function parseInstant(value: unknown): number | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  if (typeof value !== "string") return undefined;
  const parts = RFC_3339.exec(value);
  if (parts === null) return undefined;
  const [, date, time, fraction = "0", zone = "Z"] = parts;
  const wall = Date.parse(`${date}T${time}Z`);
  const offset = zoneOffsetMs(zone);
  // A day that the month doesn't have is refused, not counted into the next month.
  if (Number.isNaN(wall) || offset === undefined || !new Date(wall).toISOString().startsWith(`${date}T${time}`)) {
    return undefined;
  }
  return wall - offset + Math.trunc(Number(`0.${fraction}`) * 1_000);
}

const RFC_3339 = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/;

function zoneOffsetMs(zone: string): number | undefined {
  if (zone.length === 1) return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(4));
  if (hours > 23 || minutes > 59) return undefined;
  return (zone.startsWith("-") ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}
