/**
 * Any JSON as a text that is the same for the same content, whatever the order of names. To be called with what is not deeper
 * than `isDeeperThan` has allowed.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([name, entry]) => `${JSON.stringify(name)}:${canonicalJson(entry)}`).join(",")}}`;
}

/** Whether lists and objects stand in each other more than so many times. */
export function isDeeperThan(max: number, value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return max === 0 || Object.values(value).some((entry) => isDeeperThan(max - 1, entry));
}
