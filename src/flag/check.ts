import { createEvaluator, type FlagChanges, type RegexCompiler } from "@tenantplane/sdk/evaluate";
import { DomainError, invalidFields, Problems } from "../errors.ts";
import { violation } from "./field-path.ts";

/** A document of a change, and the field of the request that brought it. */
export interface Draft {
  readonly kind: "flags" | "segments" | "groups" | "overrides";
  readonly key: string;
  readonly field: string;
}

/**
 * Checks a change against the documents that have a say in it.
 * Throws INVALID_FIELDS with all that is wrong with the drafts, or HAS_DEPENDENTS with what would break elsewhere.
 */
export function requireSound(
  regex: RegexCompiler,
  neighbours: FlagChanges,
  change: FlagChanges,
  drafts: readonly Draft[],
): void {
  const evaluator = createEvaluator({ regex });
  evaluator.apply(neighbours, "lenient");
  const { problems } = evaluator.apply(change, "strict");
  if (problems.length === 0) return;
  const places = drafts.map(({ kind, key, field }) => ({ place: `${kind}[${JSON.stringify(key)}]`, field }));
  const violations = problems.flatMap((problem) => {
    const draft = places.find(({ place }) => isWithin(problem.field, place));
    return draft ? [violation(draft.field, problem.field.slice(draft.place.length), problem.description)] : [];
  });
  if (violations.length > 0) throw invalidFields(violations);
  const broken = problems.slice(0, PRECONDITIONS_MAX).map(({ field, description }) => ({
    type: "FLAG_REFERENCE",
    subject: field,
    description,
  }));
  const first = broken.map(({ subject, description }) => `${subject} ${description}`)[0] ?? "";
  throw new DomainError(
    "HAS_DEPENDENTS",
    `others need what would go: ${first}`,
    { dependent: first },
    { preconditions: broken },
  );
}

/**
 * Throws INVALID_FIELDS when a document has text that the database can't keep, or nests deeper than messages can say:
 * a document that is in must come out again.
 */
export function requireStorable(field: string, document: unknown, maxDepth: number): void {
  const problems = new Problems();
  visit(problems, field, document, maxDepth);
  problems.throwIfAny();
}

/** An error must fit into the trailers that carry it. */
const PRECONDITIONS_MAX = 8;

function isWithin(path: string, place: string): boolean {
  return path.startsWith(place) && [undefined, ".", "["].includes(path[place.length]);
}

function visit(problems: Problems, field: string, value: unknown, depthLeft: number): void {
  if (typeof value === "string") {
    if (value.includes("\0") || !value.isWellFormed()) problems.add(field, "must be Unicode text without NUL");
  } else if (typeof value === "object" && value !== null) {
    if (depthLeft === 0) {
      problems.add(field, "nests too deep");
      return;
    }
    for (const [key, part] of Object.entries(value)) {
      visit(problems, field, key, depthLeft);
      visit(problems, field, part, depthLeft - 1);
    }
  }
}
