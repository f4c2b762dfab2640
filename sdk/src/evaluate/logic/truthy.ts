/** Whether JsonLogic takes a value for true: as JavaScript does, but empty lists and objects are false. */
export function isTruthy(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return Boolean(value);
  return Array.isArray(value) ? value.length > 0 : Object.keys(value).length > 0;
}
