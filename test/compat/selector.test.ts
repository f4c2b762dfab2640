import { describe, expect, it } from "vitest";
import { canonicalJson, isDeeperThan } from "../../src/compat/canonical-json.ts";
import { parseSelector, parseTenant, tenantOfHost } from "../../src/compat/selector.ts";
import { caught } from "../aip/caught.ts";

const KEY = `tpk_${"0".repeat(16)}_${"a".repeat(64)}`;
const JWT = "eyJh-_.eyJz.c2ln";

describe("a selector", () => {
  it.each([
    ["", undefined, undefined],
    ["flagSetId=", undefined, undefined],
    ["acme", "acme", undefined],
    ["source=acme", "acme", undefined],
    ["flagSetId=tenants/acme", "acme", undefined],
    [KEY, undefined, KEY],
    [`flagSetId=${KEY}`, undefined, KEY],
    [`flagSetId=acme:${KEY}`, "acme", KEY],
    [`tenants/acme:${JWT}`, "acme", JWT],
    [JWT, undefined, JWT],
    ["acme:", "acme", undefined],
  ])("%s names a tenant or a key", (text, tenantId, credential) => {
    expect(parseSelector(text)).toEqual({ tenantId, credential });
  });

  it.each([`somebody=${KEY}`, `flagSetId=Not A Tenant:${KEY}`, `:${KEY}`, `${"x".repeat(100)}:${KEY}`, `a=b=${KEY}`])(
    "%s is refused, and not repeated",
    (text) => {
      const { reason, message, metadata } = caught(() => parseSelector(text));
      expect(reason).toBe("INVALID_FIELDS");
      expect(JSON.stringify([message, metadata])).not.toContain("tpk_");
    },
  );

  it("names a tenant by its id or its name, and nothing else", () => {
    expect([parseTenant("acme", "t"), parseTenant("tenants/acme", "t")]).toEqual(["acme", "acme"]);
    for (const text of ["", "tenants/", "a/b", "__proto__"]) expect(() => parseTenant(text, "t")).toThrow();
  });
});

describe("a host", () => {
  it.each([
    ["acme.flags.example.com", "acme"],
    ["ACME.flags.example.com:8080", "acme"],
    ["acme.localhost:50051", "acme"],
    ["localhost:50051", undefined],
    ["127.0.0.1:50051", undefined],
    ["[::1]:50051", undefined],
    ["", undefined],
    ["x.example.com", undefined],
  ])("%s is of a tenant or of none", (host, tenantId) => {
    expect(tenantOfHost(host)).toBe(tenantId);
  });
});

describe("canonical JSON", () => {
  it("is the same for the same content, and another for other content", () => {
    const value = { b: [1, "1", null, true], a: { y: {}, x: [] }, "": 0 };
    expect(canonicalJson(value)).toBe('{"":0,"a":{"x":[],"y":{}},"b":[1,"1",null,true]}');
    expect(canonicalJson({ ...value, b: [1, 1, null, true] })).not.toBe(canonicalJson(value));
  });

  it("counts how deep a value is", () => {
    expect([isDeeperThan(0, 1), isDeeperThan(0, {}), isDeeperThan(1, { a: 1 }), isDeeperThan(1, { a: [] })]).toEqual([
      false,
      true,
      false,
      true,
    ]);
  });
});
