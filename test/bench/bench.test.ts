import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, inject, it } from "vitest";

const run = promisify(execFile);
const flags = ["--conditions=source", "test/bench/run.ts"];
const options = { env: { ...process.env, DATABASE_URL: inject("databaseUrl") } };

// That it runs, and says what it should: never how fast.
it("every benchmark runs, and prints its measures as lines of JSON and a table", async () => {
  const listed = await run(process.execPath, [...flags, "--list"], options);
  const names = listed.stderr.match(/^ {2}[\w-]+/gm)?.map((name) => name.trim()) ?? [];
  const { stdout, stderr } = await run(process.execPath, [...flags, "--quick"], options);
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect([...new Set(lines.map(({ benchmark }) => benchmark))]).toEqual(names);
  for (const line of lines) {
    expect(line).toMatchObject({ candidate: expect.any(String), unit: expect.any(String), rounds: 1 });
    for (const key of ["value", "min", "max"]) expect(line[key], JSON.stringify(line)).toEqual(expect.any(Number));
  }
  expect(stderr).toContain("median");
}, 300_000);

it("an unknown benchmark is refused with the list of those there are", async () => {
  const failed = await run(process.execPath, [...flags, "nothing"], options).catch((error: unknown) => error);
  expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining("get-tenant") });
});
