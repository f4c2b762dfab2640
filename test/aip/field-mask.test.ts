import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { diffFields, maskedFields } from "../../src/aip/field-mask.ts";
import { caught } from "./caught.ts";

const SEED = process.env.SEED ? { seed: Number(process.env.SEED) } : {};
const KNOWN = { display_name: "writable", labels: "writable", name: "output", integrator: "immutable" } as const;

describe("an update mask", () => {
  const good: [string, readonly string[] | undefined, string[], string[]][] = [
    ["unset: the populated fields that can be written", undefined, ["display_name", "name"], ["display_name"]],
    ["empty: the same", [], ["labels"], ["labels"]],
    ["*: all that can be written", ["*"], [], ["display_name", "labels"]],
    ["one field, populated or not", ["labels"], ["display_name"], ["labels"]],
    ["output-only fields: ignored", ["name", "labels"], [], ["labels"]],
    ["a field twice: once", ["labels", "labels"], [], ["labels"]],
  ];
  for (const [what, mask, populated, expected] of good) {
    it(what, () => expect([...maskedFields(mask, populated, KNOWN)]).toEqual(expected));
  }

  const bad: [string[], string][] = [
    [["colour"], 'unknown field "colour"; known are display_name, labels, name, integrator'],
    [["labels", "constructor"], 'unknown field "constructor"'],
    [["*", "labels"], 'unknown field "*"'],
    [[""], 'unknown field ""'],
    [["integrator"], '"integrator" is fixed at creation'],
    [["x".repeat(1_000_000)], `unknown field "${"x".repeat(64)}"; known are`],
  ];
  for (const [mask, why] of bad) {
    it(`refuses ${mask.join(",").slice(0, 40)}`, () => {
      const error = caught(() => maskedFields(mask, [], KNOWN));
      expect(error.message).toContain(why);
      expect(error.details.violations).toMatchObject([{ field: "update_mask" }]);
    });
  }
});

describe("the differences of two objects", () => {
  const cases: [string, object, object, [string, unknown, unknown][]][] = [
    ["none", { a: 1, b: [1, { c: 2 }] }, { a: 1, b: [1, { c: 2 }] }, []],
    [
      "in order of path",
      { b: 1, a: 1 },
      { a: 2, b: 2 },
      [
        ["a", 1, 2],
        ["b", 1, 2],
      ],
    ],
    [
      "added and removed",
      { a: 1 },
      { b: 2 },
      [
        ["a", 1, null],
        ["b", null, 2],
      ],
    ],
    ["nested", { l: { x: "1", y: "2" } }, { l: { x: "1", y: "3" } }, [["l.y", "2", "3"]]],
    ["lists as values", { a: [1, 2] }, { a: [1, 3] }, [["a", [1, 2], [1, 3]]]],
    ["a list and an object", { a: [] }, { a: {} }, [["a", [], {}]]],
    ["null and nothing: none", { a: null }, {}, []],
    [
      "zero, false and empty are values",
      { a: null, b: 0 },
      { a: "", b: false },
      [
        ["a", null, ""],
        ["b", 0, false],
      ],
    ],
    ["no key order", { a: [{ x: 1, y: 2 }] }, { a: [{ y: 2, x: 1 }] }, []],
    ["keys that objects inherit", { l: {} }, { l: { constructor: "x" } }, [["l.constructor", null, "x"]]],
    ["inherited keys removed", { toString: "x" }, {}, [["toString", "x", null]]],
  ];
  for (const [what, before, after, expected] of cases) {
    it(what, () => {
      expect(diffFields(before, after)).toEqual(
        expected.map(([field, was, is]) => ({ field, before: was, after: is })),
      );
    });
  }

  it("are at most two hundred", () => {
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`k${i}`, i]));
    expect(diffFields({}, many)).toHaveLength(200);
  });

  it("swap when the objects do, and are none for a copy", () => {
    const object = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 6, noNullPrototype: true });
    fc.assert(
      fc.property(object, object, (a, b) => {
        const forth = diffFields(a, b);
        expect(diffFields(b, a)).toEqual(forth.map((d) => ({ field: d.field, before: d.after, after: d.before })));
        expect(diffFields(a, structuredClone(a))).toEqual([]);
      }),
      SEED,
    );
  });
});
