// `npm run check`: everything that needs no service, in seconds. Prints each step with its time; ends at the first red one.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const bin = (name: string) => join("node_modules", ".bin", name);
const steps: [string, string, string[]][] = [
  ["types", bin("tsc"), ["-p", "."]],
  ["format and lint", bin("biome"), ["check", "--error-on-warnings", "."]],
  ["buf lint", bin("buf"), ["lint"]],
  ["protos of the last release", bin("buf"), ["breaking", "proto", "--against", "proto/released.binpb"]],
  ["pure tests", bin("vitest"), ["run", "--config", "vitest.pure.config.ts"]],
];

const HINTS: Readonly<Record<string, string>> = {
  "protos of the last release":
    "A client of the last release would break: add beside what is there, and deprecate it.\n",
};

for (const [name, program, args] of steps) {
  const startedAt = performance.now();
  const run = spawnSync(program, args, { encoding: "utf8" });
  report(name, run.status === 0, startedAt);
  if (run.status !== 0) fail(`${run.stdout}${run.stderr}${HINTS[name] ?? ""}`);
}
checkGenerated();

function checkGenerated(): void {
  const startedAt = performance.now();
  const folder = mkdtempSync(join(tmpdir(), "gen-"));
  try {
    for (const template of ["buf.gen.yaml", "src/compat/buf.gen.yaml"]) {
      execFileSync(bin("buf"), ["generate", "--template", template, "--output", folder], { stdio: "inherit" });
    }
    const stale = ["sdk/src/gen", "src/compat/gen"].filter((made) => !isSame(read(join(folder, made)), read(made)));
    report("generated files", stale.length === 0, startedAt);
    if (stale.length > 0) fail(`${stale} is not what the protos give: run \`npm run gen\` and commit the result.\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function isSame(made: Map<string, string>, kept: Map<string, string>): boolean {
  return made.size === kept.size && [...made].every(([file, text]) => kept.get(file) === text);
}

function read(folder: string): Map<string, string> {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  return new Map(files.map((file) => [file, readFileSync(join(folder, file), "utf8")]));
}

function report(name: string, ok: boolean, startedAt: number): void {
  process.stdout.write(
    `${ok ? "ok    " : "FAILED"} ${name} (${((performance.now() - startedAt) / 1_000).toFixed(1)} s)\n`,
  );
}

function fail(output: string): never {
  process.stdout.write(output);
  process.exit(1);
}
