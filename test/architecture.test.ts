import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { parseSync } from "oxc-parser";
import { describe, expect, it } from "vitest";

const RESERVED = /^(.+-)?(store|redis|service|rpc|jobs)$/;
/** Which domains a domain may import: itself and those of earlier steps; those of the first step may see each other. */
const STEPS: readonly (readonly string[])[] = [
  ["auth", "audit", "change"],
  ["meter"],
  ["integrator", "plan"],
  ["tenant"],
  ["user"],
  ["quota", "flag"],
  ["usage", "webhook"],
  ["health", "backup"],
  ["compat"],
];
const DOMAINS = STEPS.flat();

/** Longer than the aim, and why it is clearer so. */
const LONG_FILES: Readonly<Record<string, string>> = {
  "src/app.ts": "the one place that constructs things: cut up, no place would show the whole",
  "src/tenant/service.ts": "one verb after the other, each short",
};
const FILE_LINES_MAX = 250;
const FUNCTION_LINES_MAX = 75;

/** Entries of the SDK that are pure themselves. */
const PURE_ENTRIES = new Set(["@tenantplane/sdk/evaluate", "@tenantplane/sdk/replica"]);

const files = [...walk("src"), ...walk("sdk/src")].filter((file) => file.endsWith(".ts") && !file.includes("/gen/"));
const sources = new Map(files.map((file) => [file, readFileSync(file, "utf8")]));

function walk(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).map((file) => join(folder, file));
}

/** How high a file stands: see "Floors" in ARCHITECTURE.md. */
function floorOf(file: string): number {
  const parts = file.split("/");
  const [, folder = "", name = ""] = parts;
  const base = (parts.at(-1) ?? "").replace(/\.ts$/, "");
  if (/^sdk\/src\/(evaluate\/|replica(\/|\.ts$))/.test(file)) return 1;
  if (file.startsWith("sdk/")) return 5;
  if (["src/main.ts", "src/app.ts"].includes(file) || folder === "cli") return 6;
  const kind = RESERVED.exec(base)?.[2];
  if (["server", "compat"].includes(folder) || kind === "rpc" || kind === "jobs") return 5;
  if (file === "src/mutation.ts" || kind === "service") return 4;
  if (kind === "store" || kind === "redis") return folder === "platform" ? 2 : 3;
  if (folder === "platform" || folder === "migrations" || ["config.ts", "context.ts"].includes(folder)) return 2;
  if (DOMAINS.includes(folder) || folder === "aip" || name === "") return 1;
  throw new Error(`${file} has no floor: say where it stands, in ARCHITECTURE.md and here`);
}

function importsOf(file: string): { target: string; typeOnly: boolean }[] {
  const program = parseSync(file, sources.get(file) ?? "").module;
  return program.staticImports.map((found) => ({
    target: found.moduleRequest.value,
    typeOnly: found.entries.length > 0 && found.entries.every((entry) => entry.isType),
  }));
}

const local = (file: string, target: string) => normalize(join(dirname(file), target));

describe("the architecture", () => {
  it("has no file that imports from a higher floor", () => {
    const wrong = files.flatMap((file) =>
      importsOf(file)
        .filter(({ target, typeOnly }) => target.startsWith(".") && !typeOnly && sources.has(local(file, target)))
        .filter(({ target }) => floorOf(local(file, target)) > floorOf(file))
        .map(
          ({ target }) => `${file} (floor ${floorOf(file)}) imports ${local(file, target)}: move what it needs down`,
        ),
    );
    expect(wrong).toEqual([]);
  });

  it("keeps pure files pure: no packages, no node:, no generated code", () => {
    const wrong = files
      .filter((file) => floorOf(file) === 1)
      .flatMap((file) =>
        importsOf(file)
          .filter(({ target, typeOnly }) => !target.startsWith(".") && !typeOnly && !PURE_ENTRIES.has(target))
          .map(({ target }) => `${file} imports ${target}: only files with a reserved name do`),
      );
    expect(wrong).toEqual([]);
  });

  it("keeps the order of the domains", () => {
    const stepOf = (domain: string) => STEPS.findIndex((step) => step.includes(domain));
    const wrong = files.flatMap((file) => {
      const domain = file.split("/")[1] ?? "";
      if (!DOMAINS.includes(domain)) return [];
      return importsOf(file)
        .map(({ target }) => local(file, target))
        .filter((target) => DOMAINS.includes(target.split("/")[1] ?? "") && target.startsWith("src/"))
        .filter((target) => stepOf(target.split("/")[1] ?? "") > stepOf(domain))
        .map((target) => `${file} imports ${target}: the later domain may import the earlier one, never the reverse`);
    });
    expect(wrong).toEqual([]);
  });

  it("has no cycles of imports", () => {
    const state = new Map<string, "open" | "done">();
    const cycles: string[] = [];
    const visit = (file: string, path: readonly string[]) => {
      if (state.get(file) === "done" || !sources.has(file)) return;
      if (state.get(file) === "open") {
        cycles.push([...path.slice(path.indexOf(file)), file].join(" -> "));
        return;
      }
      state.set(file, "open");
      for (const { target, typeOnly } of importsOf(file)) {
        if (target.startsWith(".") && !typeOnly) visit(local(file, target), [...path, file]);
      }
      state.set(file, "done");
    };
    for (const file of files) visit(file, []);
    expect(cycles).toEqual([]);
  });

  it("lets the SDK import nothing of the server", () => {
    const wrong = files.filter(
      (file) => file.startsWith("sdk/") && importsOf(file).some(({ target }) => target.includes("../src")),
    );
    expect(wrong).toEqual([]);
  });
});

const BANNED: { pattern: RegExp; except: RegExp; instead: string }[] = [
  { pattern: /\bDate\.now\(|new Date\(\)/, except: /^src\/platform\/|^sdk\//, instead: "the injected Clock" },
  { pattern: /Math\.random\(/, except: /^src\/platform\/|^sdk\//, instead: "the injected Ids" },
  { pattern: /\bsetInterval\(/, except: /^src\/platform\//, instead: "`every` of platform/clock.ts" },
  { pattern: /process\.env/, except: /^src\/config\.ts$|^src\/cli\//, instead: "a setting in config.ts" },
  { pattern: /\bas any\b|: any\b|@ts-ignore|@ts-expect-error/, except: /^$/, instead: "a narrow type" },
  {
    pattern: /\.\.\.ctx\b/,
    except: /^$/,
    instead: "`withFacts` of context.ts: a spread loses the getters of a call's context",
  },
  { pattern: /select \*/i, except: /^$/, instead: "the columns by name" },
  { pattern: /console\./, except: /^src\/cli\//, instead: "the injected Log" },
  { pattern: /process\.exit\(/, except: /^$/, instead: "process.exitCode and an empty loop" },
  { pattern: /\b(TODO|FIXME|XXX)\b/, except: /^$/, instead: "the work itself" },
];

describe("the house rules", () => {
  for (const { pattern, except, instead } of BANNED) {
    it(`bans ${pattern.source}: use ${instead}`, () => {
      const found = files.filter((file) => !except.test(file) && pattern.test(sources.get(file) ?? ""));
      expect(found).toEqual([]);
    });
  }

  it(`keeps files to ${FILE_LINES_MAX} lines, or says why not`, () => {
    const long = files.filter(
      (file) => (sources.get(file) ?? "").split("\n").length > FILE_LINES_MAX && !LONG_FILES[file],
    );
    expect(long).toEqual([]);
  });

  it(`keeps functions to ${FUNCTION_LINES_MAX} lines`, () => {
    const long = files.flatMap((file) =>
      functionsOf(file)
        .filter(({ lines, name }) => lines > FUNCTION_LINES_MAX && !ASSEMBLIES.has(name))
        .map(({ name, lines }) => `${file}: ${name} has ${lines} lines`),
    );
    expect(long).toEqual([]);
  });
});

/** Flat lists, one entry after the other. */
const ASSEMBLIES = new Set(["construct", "tenantRpc"]);

function functionsOf(file: string): { name: string; lines: number }[] {
  const text = sources.get(file) ?? "";
  const found: { name: string; lines: number }[] = [];
  const visit = (node: unknown) => {
    if (Array.isArray(node)) for (const item of node) visit(item);
    else if (typeof node === "object" && node !== null) {
      const { type, start, end, id } = node as { type?: string; start?: number; end?: number; id?: { name?: string } };
      if (type?.includes("Function") && start !== undefined) {
        found.push({ name: id?.name ?? "(anonymous)", lines: text.slice(start, end).split("\n").length });
      }
      for (const value of Object.values(node)) visit(value);
    }
  };
  visit(parseSync(file, text).program.body);
  return found;
}
