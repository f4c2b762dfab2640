/** An instant as the audit log tells of it. */
export function isoTime(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}
