import type { FlagDefinition } from "@tenantplane/sdk/evaluate";
import { describe, expect, it } from "vitest";
import { protoPath } from "../../src/flag/field-path.ts";
import { createJournal } from "../../src/flag/journal.ts";
import { manifestOf } from "../../src/flag/manifest.ts";
import { createUsageCounter, staleReasons } from "../../src/flag/usage.ts";

describe("a path of a definition as one of the proto", () => {
  it.each([
    ["", ""],
    ["key", "key"],
    ["offVariant", "off_variant"],
    ["state", "disabled"],
    ['variants["camelCase.key"]', 'variants["camelCase.key"]'],
    ['variants["a\\"]b"].deep[0]', 'variants["a\\"]b"].deep[0]'],
    ["defaultServe.split[1].weight", "default_serve.split.parts[1].weight"],
    ["rules[0].serve.ramp.steps[2].at", "rules[0].serve.ramp.steps[2].time"],
    ["rules[0].match.clauses[1].ignoreCase", "rules[0].match.clauses.clauses[1].ignore_case"],
    ["rules[3].match.logic.if[0].starts_with", "rules[3].match.logic"],
    ["matches[0].clauses", "matches[0].clauses.clauses"],
    ["prerequisites[0].variants", "prerequisites[0].variants"],
  ])("%s is %s", (path, expected) => {
    expect(protoPath(path)).toBe(expected);
  });
});

describe("the journal", () => {
  const at = (xid: number) => ({ xid: BigInt(xid), seq: 0 });
  const step = (xid: number) => ({ position: at(xid), ids: [], patches: [] });

  it("tells the steps after a position, and when some of them are forgotten", () => {
    const journal = createJournal(at(10), 3);
    const xidsAfter = (xid: number) => journal.after(at(xid))?.map(({ position }) => Number(position.xid));
    expect([xidsAfter(10), xidsAfter(9), xidsAfter(99)]).toEqual([[], undefined, []]);
    for (const xid of [12, 14, 16, 18, 20, 22]) journal.add(step(xid));
    expect([xidsAfter(10), xidsAfter(15), xidsAfter(16), xidsAfter(22)]).toEqual([
      [12, 14, 16, 18, 20, 22],
      [16, 18, 20, 22],
      [18, 20, 22],
      [],
    ]);
    journal.add(step(24));
    // The newest three are kept; who stands before them has missed what nobody knows any more.
    expect([xidsAfter(17), xidsAfter(18), xidsAfter(20)]).toEqual([undefined, [20, 22, 24], [22, 24]]);
  });
});

describe("the use of a flag", () => {
  it("is counted by flag and variant, and taken once", () => {
    const counter = createUsageCounter();
    counter.add("a", "on", 1);
    counter.add("a", "on", 5);
    counter.add("a", undefined, 6);
    counter.add("__proto__", "constructor", 7);
    expect(counter.take()).toEqual([
      { flagKey: "a", variant: "on", count: 2, lastAt: 5 },
      { flagKey: "a", variant: "", count: 1, lastAt: 6 },
      { flagKey: "__proto__", variant: "constructor", count: 1, lastAt: 7 },
    ]);
    expect(counter.take()).toEqual([]);
  });

  const use = { flagKey: "f", owner: "", expiresAt: null, createdAt: 0, lastAt: 150, counts: { on: 1, off: 1 } };
  it.each([
    ["used and varied", {}, []],
    ["expired", { expiresAt: 200 }, ["EXPIRED"]],
    ["not expired yet", { expiresAt: 201 }, []],
    ["never used", { lastAt: null, counts: {} }, ["NEVER_USED"]],
    ["never used, but young", { lastAt: null, counts: {}, createdAt: 101 }, []],
    ["not used lately", { lastAt: 99, counts: {} }, ["UNUSED"]],
    ["the same for everybody", { counts: { on: 9 } }, ["ONE_VARIANT"]],
    ["expired and unused", { expiresAt: 1, lastAt: 1, counts: {} }, ["EXPIRED", "UNUSED"]],
  ])("%s", (_, change, reasons) => {
    expect(staleReasons({ ...use, ...change } as typeof use, 100, 200)).toEqual(reasons);
  });
});

describe("the manifest", () => {
  const base = { key: "f", state: "ENABLED", salt: "f", bucketing: 1 } as const;
  it.each([
    [
      "the off variant",
      { kind: "boolean", variants: { on: true, off: false }, offVariant: "off", defaultServe: { variant: "on" } },
      "boolean",
      false,
    ],
    [
      "what is served by default",
      { kind: "string", variants: { a: "x" }, defaultServe: { variant: "a" } },
      "string",
      "x",
    ],
    ["nothing", { kind: "object", variants: { a: { b: 1 } } }, "object", {}],
    ["whole numbers", { kind: "number", variants: { a: 1, b: 2 }, offVariant: "b" }, "integer", 2],
    ["other numbers", { kind: "number", variants: { a: 1, b: 2.5 } }, "float", 0],
  ] as const)("tells type and default: %s", (_, more, flagType, defaultValue) => {
    const definition = { ...base, ...more } as FlagDefinition;
    const { flags } = manifestOf([{ definition, description: "d" }]);
    expect(flags).toEqual({ f: { flagType, defaultValue, description: "d" } });
  });
});
