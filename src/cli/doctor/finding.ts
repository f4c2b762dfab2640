/** What a check found. */
export interface Finding {
  readonly check: string;
  /** "skip" is for what could not be checked, and why. */
  readonly status: "ok" | "warn" | "fail" | "skip";
  readonly detail: string;
  /** What to do about it. */
  readonly advice?: string;
}

/** All is well. */
export function ok(check: string, detail: string): Finding {
  return { check, status: "ok", detail };
}

/** It works now, and may not tomorrow. */
export function warn(check: string, detail: string, advice: string): Finding {
  return { check, status: "warn", detail, advice };
}

/** It does not work. */
export function fail(check: string, detail: string, advice?: string): Finding {
  return { check, status: "fail", detail, ...(advice === undefined ? {} : { advice }) };
}

/** It could not be looked at. */
export function skip(check: string, detail: string): Finding {
  return { check, status: "skip", detail };
}
