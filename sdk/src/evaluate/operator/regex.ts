/**
 * Compiles an expression of RE2 syntax into a test of whether it is found in a text, in time linear in the text. Throws an
 * Error that says what is wrong with the expression. `re2` in the SDK's entry "regex" is one; it stays out of this folder so
 * that nobody loads it who doesn't need it.
 */
export type RegexCompiler = (pattern: string) => (text: string) => boolean;

/** Long enough for a URL or a user agent; longer text matches nothing, so that no context can make a rule slow. */
export const REGEX_TEXT_MAX_CHARS = 1_024;
