/** Keys of documents, names of variants and features, paths, salts: whatever names something. */
export const NAME_MAX_CHARS = 256;
/** More is prose for a wiki. */
export const DESCRIPTION_MAX_CHARS = 1_000;
/** Text, names and one per value, over a whole document: what a rule editor can show and a stream can carry in one message. */
export const DOCUMENT_MAX_CHARS = 1_000_000;
/** Deep enough for any configuration, shallow enough that recursion over it never meets the stack's end. */
export const VALUE_MAX_DEPTH = 50;
/** Each `else if` of a chain written as nested `if` takes two levels. */
export const LOGIC_MAX_DEPTH = 200;
/** An experiment has a handful; a hundred leaves room for flags that choose among data centres. */
export const VARIANTS_MAX = 100;
/** All are asked in order when none matches: five hundred keep that in microseconds. */
export const RULES_MAX = 500;
export const CLAUSES_MAX = 50;
/** Longer lists belong in a segment's membership, which rules don't carry. */
export const VALUES_MAX = 1_000;
export const SEGMENT_MATCHES_MAX = 100;
export const MEMBERS_MAX = 100_000;
/** Evaluated one after the other, each with its own prerequisites. */
export const PREREQUISITES_MAX = 20;
/**
 * What one evaluation may come to at most, in clauses, values and operators of logic, with everything that the flag refers to by
 * all ways together: bounds diamonds of references, which grow exponentially, to some milliseconds.
 */
export const EVALUATION_STEPS_MAX = 100_000;
/** How many references may follow each other: nobody follows twenty prerequisites with the eye, and no stack comes to its end. */
export const REFERENCES_MAX_DEPTH = 20;
/** What a regular expression counts as: the longest text through the largest expression takes about a millisecond. */
export const REGEX_STEPS = 2_000;
/** A step a day for seven weeks. */
export const RAMP_STEPS_MAX = 50;
export const METADATA_MAX = 64;
/** The sum of a split's weights: flagd's limit, which keeps the bucket a 32-bit number. */
export const WEIGHTS_MAX = 2_147_483_647;
/** A report is read by people, who fix some and try again. */
export const PROBLEMS_MAX = 100;
