import { RE2JS } from "re2js";
import type { RegexCompiler } from "./evaluate/operator/regex.ts";

/** The largest program that an expression may become: with the longest text, a match takes about a millisecond. */
const PROGRAM_MAX_STEPS = 250;

/** RE2 in JavaScript: time linear in the text, without native code. For `createEvaluator({ regex: re2 })`. */
export const re2: RegexCompiler = (pattern) => {
  const compiled = RE2JS.compile(pattern);
  if (compiled.programSize() > PROGRAM_MAX_STEPS)
    throw new Error("is too large an expression: fewer repetitions, please");
  return (text) => compiled.test(text);
};
