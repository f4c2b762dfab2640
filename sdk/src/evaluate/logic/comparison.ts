import { NOT_A_NUMBER } from "./expression.ts";

type Compare = (a: unknown, b: unknown) => boolean;

/** The operators that compare two values. */
export const COMPARISON: Readonly<Record<string, Compare>> = {
  "===": (a, b) => a === b,
  "!==": (a, b) => a !== b,
  "==": equals,
  "!=": (a, b) => !equals(a, b),
  "<": inOrder((a, b) => a < b),
  "<=": inOrder((a, b) => a <= b),
  ">": inOrder((a, b) => a > b),
  ">=": inOrder((a, b) => a >= b),
};

/** Texts and null equal only their like; everything else is compared as numbers, so that 1 equals "1" and true. */
function equals(a: unknown, b: unknown): boolean {
  if (isTextOrNull(a) && isTextOrNull(b)) return a === b;
  return numberOf(a) === numberOf(b);
}

/** Two texts are in the order of their characters, everything else in that of numbers. Text without a number is in no order with null. */
function inOrder(compare: <T extends string | number>(a: T, b: T) => boolean): Compare {
  return (a, b) => {
    if (typeof a === "string" && typeof b === "string") return compare(a, b);
    if (isTextOrNull(a) && isTextOrNull(b)) return compare(Number(a), Number(b));
    return compare(numberOf(a), numberOf(b));
  };
}

function isTextOrNull(value: unknown): boolean {
  return typeof value === "string" || value === null;
}

function numberOf(value: unknown): number {
  if (typeof value === "object" && value !== null) throw NOT_A_NUMBER;
  const number = Number(value);
  if (Number.isNaN(number)) throw NOT_A_NUMBER;
  return number;
}
