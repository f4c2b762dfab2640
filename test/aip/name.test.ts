import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  checkEmail,
  checkLabels,
  checkText,
  etagOf,
  parseId,
  parseName,
  RESOURCE_ID,
  requireEtag,
  TENANT_ID,
} from "../../src/aip/name.ts";
import { Problems } from "../../src/errors.ts";
import { caught } from "./caught.ts";

const SEED = process.env.SEED ? { seed: Number(process.env.SEED) } : {};

/** The bad fields that a check finds. */
function fieldsOf(check: (problems: Problems) => void): string[] {
  const problems = new Problems();
  check(problems);
  return problems.violations.map(({ field }) => field);
}

describe("an id", () => {
  const cases: [string, boolean, boolean][] = [
    ["acme", true, true],
    ["a-1b", true, true],
    ["a".repeat(63), true, true],
    ["ab", false, true],
    ["abc", false, true],
    ["a", false, false],
    ["a".repeat(64), false, false],
    ["1acme", false, false],
    ["acme-", false, false],
    ["-acme", false, false],
    ["Acme", false, false],
    ["ac_me", false, false],
    ["acme\n", false, false],
    ["äcme", false, false],
    ["", false, false],
  ];
  for (const [id, tenant, other] of cases) {
    it(`${JSON.stringify(id)}: of a tenant ${tenant}, of others ${other}`, () => {
      expect([TENANT_ID.test(id), RESOURCE_ID.test(id)]).toEqual([tenant, other]);
    });
  }
});

describe("a name", () => {
  it("is taken apart into its ids", () => {
    expect(parseName("tenants/acme/users/u-1", ["tenants", "users"], "name")).toEqual(["acme", "u-1"]);
    expect(parseId("plans/basic", "plans", "name")).toBe("basic");
  });

  const bad = [
    "",
    "tenants",
    "tenants/",
    "tenants/acme",
    "tenants/acme/users/",
    "tenants/acme/users/u1/",
    "/tenants/acme/users/u1",
    "tenants/acme/keys/u1",
    "tenants/ab/users/u1",
    "tenants/acme/users/U1",
    "users/u1/tenants/acme",
    "/".repeat(1_000_000),
  ];
  for (const name of bad) {
    it(`is refused when it is ${JSON.stringify(name.slice(0, 40))}`, () => {
      const error = caught(() => parseName(name, ["tenants", "users"], "user.name"));
      expect(error.details.violations).toEqual([
        { field: "user.name", description: "must be a name of the form tenants/{tenant}/users/{user}" },
      ]);
    });
  }
});

describe("a text", () => {
  const cases: [string, boolean][] = [
    ["Acme", true],
    ["😀".repeat(5), true],
    ["", false],
    ["123456", false],
    ["a\nb", false],
    ["a\0", false],
    ["\ud800", false],
    ["x".repeat(10_000_000), false],
  ];
  for (const [value, good] of cases) {
    it(`${JSON.stringify(value.slice(0, 12))} is ${good ? "taken" : "refused"} where 1 to 5 characters are asked`, () => {
      expect(fieldsOf((problems) => checkText(problems, "f", value, 1, 5))).toEqual(good ? [] : ["f"]);
    });
  }
});

describe("labels", () => {
  const cases: [string, Record<string, string>, string[]][] = [
    ["none", {}, []],
    ["good ones", { team: "red", "a.b/c_d-1": "", constructor: "x" }, []],
    ["an upper-case key", { Team: "red" }, ["f.Team"]],
    ["an empty key", { "": "red" }, ["f."]],
    ["a long key", { ["k".repeat(64)]: "red" }, [`f.${"k".repeat(63)}`]],
    ["a long value", { team: "x".repeat(64) }, ["f.team"]],
    ["a control character", { team: "a\u0007" }, ["f.team"]],
  ];
  for (const [what, labels, expected] of cases) {
    it(`${what}: ${expected.length} bad`, () => {
      expect(fieldsOf((problems) => checkLabels(problems, "f", labels))).toEqual(expected);
    });
  }

  it("are at most 64, and an error names only a few of the bad ones", () => {
    const make = (count: number, key: string) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`${key}${i}${"x".repeat(50)}`, "v"]));
    expect(fieldsOf((problems) => checkLabels(problems, "f", make(64, "k")))).toEqual([]);
    expect(fieldsOf((problems) => checkLabels(problems, "f", make(65, "k")))).toEqual(["f"]);
    expect(fieldsOf((problems) => checkLabels(problems, "f", make(64, "K")))).toHaveLength(8);
  });

  it("are named in well-formed text although a key is cut within a character", () => {
    const [field = ""] = fieldsOf((problems) => checkLabels(problems, "f", { [`${"k".repeat(62)}😀`]: "" }));
    expect(field.isWellFormed()).toBe(true);
  });
});

describe("an email address", () => {
  const good = ["a@b.co", "first.last+tag@mail.example.org", "ü@example.org", "A@EXAMPLE.ORG"];
  // The last is the Kelvin sign, which lower case turns into the k of another domain.
  const bad = [
    "",
    "a",
    "a@b",
    "@b.co",
    "a@",
    "a@b..co",
    "a b@c.de",
    "a@b@c.de",
    "a@b.co\n",
    "a\0@b.co",
    "\ud800@b.co",
    "a@ban\u212a.co",
  ];
  for (const email of good) {
    it(`can be ${email}`, () => expect(fieldsOf((problems) => checkEmail(problems, "f", email))).toEqual([]));
  }
  for (const email of [...bad, `${"a".repeat(65)}@b.co`, `a@${"b.".repeat(200)}co`, "a@".repeat(2_000_000)]) {
    it(`can't be ${JSON.stringify(email.slice(0, 20))}`, () => {
      expect(fieldsOf((problems) => checkEmail(problems, "f", email))).toEqual(["f"]);
    });
  }
});

describe("an etag", () => {
  const UID = "0190a1b2-0000-4000-8000-000000000000";
  const TAG = etagOf(UID, 36);

  it("is a quoted text of the resource and its revision", () => {
    expect(TAG).toBe('"0190a1b2-10"');
  });

  it("lets a write through when it is the newest, weak, or not given", () => {
    for (const given of [TAG, `W/${TAG}`, ""]) {
      expect(() => requireEtag(given, UID, 36, "tenants/acme")).not.toThrow();
    }
  });

  it("stops a write with any other", () => {
    const other = fc.oneof(
      fc.string({ minLength: 1 }),
      fc.nat().map((revision) => etagOf(UID, revision)),
    );
    fc.assert(
      fc.property(other, (given) => {
        fc.pre(given !== TAG);
        const error = caught(() => requireEtag(given, UID, 36, "tenants/acme"));
        expect([error.reason, error.code, error.metadata]).toEqual([
          "ETAG_MISMATCH",
          "aborted",
          { resource: "tenants/acme" },
        ]);
      }),
      SEED,
    );
  });
});
