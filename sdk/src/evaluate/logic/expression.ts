import { Fault, type Scope } from "../compile/scope.ts";

/** A compiled piece of logic. `data` is what `var` reads: the context, or within a loop the list's element. */
export type Expression = (data: unknown, scope: Scope) => unknown;

/** Runs an operator on its evaluated arguments. */
export type Operation = (args: readonly unknown[], data: unknown, scope: Scope) => unknown;

export const NOT_A_NUMBER = new Fault("GENERAL", "The logic calculates with something that is no number");
export const INVALID_ARGUMENTS = new Fault("GENERAL", "The logic gives an operator arguments that it can't take");
export const TOO_MUCH_WORK = new Fault("GENERAL", "The logic takes too many steps, or makes too long a text or list");
