import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { expect } from "vitest";

/** Compares with the kept file; UPDATE=1 writes it anew, so that a reviewer sees what changed of a public surface. */
export function golden(file: string, text: string): void {
  const path = `test/golden/${file}`;
  if (process.env.UPDATE === "1") writeFileSync(path, text);
  const kept = existsSync(path) ? readFileSync(path, "utf8") : "";
  const { testPath } = expect.getState();
  const run = `UPDATE=1 npx vitest run ${testPath?.slice(testPath.indexOf("test/"))}`;
  expect(text, `${path} differs: if you meant to change this public surface, run ${run}`).toBe(kept);
}

/** A table of Markdown. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return `${[head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n")}\n`;
}
