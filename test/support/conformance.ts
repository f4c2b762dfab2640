import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AstBuilder, compile, GherkinClassicTokenMatcher, Parser } from "@cucumber/gherkin";
import { IdGenerator, type Pickle } from "@cucumber/messages";
import { describe, it } from "vitest";

/**
 * Public conformance data, which is read where it lies and never copied: in `../shared/conformance` beside the project, or where
 * TENANTPLANE_CONFORMANCE says.
 */
const folder = process.env.TENANTPLANE_CONFORMANCE ?? join(import.meta.dirname, "../../../shared/conformance");

/** Declares the suite's tests, or one that says aloud that the suite's data is absent. */
export function describeConformance(name: string, part: string, declare: (folder: string) => void): void {
  const place = [join(folder, part), join(import.meta.dirname, "../../../../shared/conformance", part)].find(
    existsSync,
  );
  describe(name, () => {
    if (place !== undefined) declare(place);
    else it.skip(`NOT RUN: no ${join(folder, part)}; set TENANTPLANE_CONFORMANCE to the folder of the public suites`);
  });
}

/** The scenarios of the `.feature` files of a folder, one for each row of examples. */
export function scenariosOf(place: string): { feature: string; scenarios: Pickle[] }[] {
  return readdirSync(place)
    .filter((file) => file.endsWith(".feature"))
    .map((file) => {
      const newId = IdGenerator.incrementing();
      const parser = new Parser(new AstBuilder(newId), new GherkinClassicTokenMatcher());
      const document = parser.parse(readFileSync(join(place, file), "utf8"));
      return { feature: file, scenarios: [...compile(document, file, newId)] };
    });
}

/** All JSON files below a folder, by their path in it. */
export function jsonFilesOf(place: string): { file: string; content: unknown }[] {
  return readdirSync(place, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".json"))
    .sort()
    .map((file) => ({ file, content: JSON.parse(readFileSync(join(place, file), "utf8")) as unknown }));
}
