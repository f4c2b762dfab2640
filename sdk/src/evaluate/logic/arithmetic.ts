import { INVALID_ARGUMENTS, NOT_A_NUMBER, type Operation } from "./expression.ts";

/** The operators that calculate. Text of digits counts as a number, null as 0; what is no number at all is a fault. */
export const ARITHMETIC: Readonly<Record<string, Operation>> = {
  "+": (args) => checked(args.reduce<number>((sum, arg) => sum + numberOf(arg), 0)),
  "*": (args) => checked(args.reduce<number>((product, arg) => product * numberOf(arg), 1)),
  "-": ([first, ...rest]) => {
    if (rest.length === 0) return checked(-numberOf(first ?? 0));
    return checked(rest.reduce<number>((left, arg) => left - numberOf(arg), numberOf(first)));
  },
  "/": (args) => {
    if (args.length === 0) throw INVALID_ARGUMENTS;
    const [first, ...rest] = args.length === 1 ? [1, ...args] : args;
    const result = rest.reduce<number>((left, arg) => left / divisor(arg), numberOf(first));
    if (result === Number.POSITIVE_INFINITY) throw NOT_A_NUMBER;
    return checked(result);
  },
  "%": ([first, ...rest]) => {
    if (rest.length === 0) throw INVALID_ARGUMENTS;
    return checked(rest.reduce<number>((left, arg) => left % numberOf(arg), numberOf(first)));
  },
  max: (args) => numbers(args).reduce((most, number) => Math.max(most, number)),
  min: (args) => numbers(args).reduce((least, number) => Math.min(least, number)),
};

function numberOf(value: unknown): number {
  if (typeof value === "object" && value !== null) throw NOT_A_NUMBER;
  return Number(value);
}

function divisor(value: unknown): number {
  if (!value) throw NOT_A_NUMBER;
  return numberOf(value);
}

function checked(value: number): number {
  if (Number.isNaN(value)) throw NOT_A_NUMBER;
  return value;
}

function numbers(args: readonly unknown[]): number[] {
  const found = args.filter((arg) => typeof arg === "number");
  if (found.length === 0 || found.length < args.length) throw INVALID_ARGUMENTS;
  return found;
}
