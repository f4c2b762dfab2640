import { DomainError } from "../../src/errors.ts";

/** The DomainError that `run` throws; anything else, and nothing, fails the test. */
export function caught(run: () => unknown): DomainError {
  try {
    run();
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
