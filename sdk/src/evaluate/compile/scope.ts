import type { TenantFacts } from "../context.ts";
import type { EvaluationErrorCode } from "../evaluation.ts";

/** What one evaluation is about. */
export interface Scope {
  readonly flagKey: string;
  readonly context: unknown;
  readonly tenant: TenantFacts | undefined;
  readonly nowMs: number;
  /** What is left of `LOGIC_STEPS_MAX`. */
  stepsLeft: number;
}

/** A compiled match. */
export type Predicate = (scope: Scope) => boolean;

/** Loops over lists of the context inside of each other could take for ever; this many rounds take some milliseconds. */
export const LOGIC_STEPS_MAX = 100_000;

/** Ends an evaluation with an error. Faults are made once and thrown many times, since making one records a stack. */
export class Fault extends Error {
  override name = "Fault";
  readonly code: EvaluationErrorCode;

  constructor(code: EvaluationErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
