import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cutPage, decodePageToken, encodePageToken, pageSize } from "../../src/aip/page.ts";
import { createSeal } from "../../src/platform/crypto.ts";
import { caught } from "./caught.ts";

const SEED = process.env.SEED ? { seed: Number(process.env.SEED) } : {};
const DAY_MS = 24 * 3_600_000;
const seal = createSeal(new Uint8Array(32).fill(7));
const QUERY = ["ListTenants", "keys/k1", "state = ACTIVE", "name", false];

describe("a page size", () => {
  const cases: [number, number][] = [
    [0, 50],
    [1, 1],
    [1_000, 1_000],
    [1_001, 1_000],
    [2_147_483_647, 1_000],
  ];
  for (const [requested, used] of cases) {
    it(`of ${requested} means ${used}`, () => expect(pageSize(requested)).toBe(used));
  }

  it("is refused when negative", () => {
    expect(caught(() => pageSize(-1)).details.violations).toMatchObject([{ field: "page_size" }]);
  });
});

describe("a page token", () => {
  const refusal = (token: string, query: unknown = QUERY, now = 0) => {
    const error = caught(() => decodePageToken(seal, query, token, now));
    return { reason: error.reason, fields: error.details.violations?.map(({ field }) => field) };
  };
  const REFUSED = { reason: "PAGE_TOKEN_INVALID", fields: ["page_token"] };

  it("gives back any position, for the same query only", () => {
    const value = fc.oneof(fc.string({ unit: "binary" }), fc.integer(), fc.constant(null));
    fc.assert(
      fc.property(fc.array(value, { maxLength: 4 }), fc.string(), fc.string(), (position, filter, other) => {
        fc.pre(filter !== other);
        const token = encodePageToken(seal, [filter], position, 0);
        expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
        expect(decodePageToken(seal, [filter], token, 0)).toEqual(position);
        expect(refusal(token, [other])).toEqual(REFUSED);
      }),
      SEED,
    );
  });

  it("is the first page when empty", () => {
    expect(decodePageToken(seal, QUERY, "", 0)).toBeUndefined();
  });

  it("is good for three days", () => {
    const token = encodePageToken(seal, QUERY, ["acme"], 1_000);
    expect(decodePageToken(seal, QUERY, token, 1_000 + 3 * DAY_MS)).toEqual(["acme"]);
    expect(refusal(token, QUERY, 1_001 + 3 * DAY_MS)).toEqual(REFUSED);
  });

  it("is refused after any change to its bytes, and when cut", () => {
    const bytes = Buffer.from(encodePageToken(seal, QUERY, ["acme", 7], 0), "base64url");
    for (let at = 0; at < bytes.length; at += 1) {
      const forged = Buffer.from(bytes);
      forged.writeUInt8(forged.readUInt8(at) ^ 1, at);
      expect(refusal(forged.toString("base64url"))).toEqual(REFUSED);
      expect(refusal(bytes.subarray(0, at).toString("base64url") || "A")).toEqual(REFUSED);
    }
  });

  it("is refused under another key", () => {
    const foreign = createSeal(new Uint8Array(32).fill(8));
    expect(refusal(encodePageToken(foreign, QUERY, ["acme"], 0))).toEqual(REFUSED);
  });

  it("is refused whatever text it is", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: "binary" }), (token) => {
        expect(refusal(token)).toEqual(REFUSED);
      }),
      SEED,
    );
    expect(refusal("A".repeat(4_000_000))).toEqual(REFUSED);
  });

  it("stays short and good however long the query is", () => {
    const query = [...QUERY, "\u0001😀".repeat(1_000)];
    const token = encodePageToken(seal, query, ["acme"], 0);
    expect(token.length).toBeLessThan(200);
    expect(decodePageToken(seal, query, token, 0)).toEqual(["acme"]);
  });
});

describe("cutting a page", () => {
  const next = (last: number) => `after ${last}`;

  it("has a token exactly when a row more was read", () => {
    expect(cutPage([1, 2, 3], 2, next)).toEqual({ items: [1, 2], token: "after 2" });
    expect(cutPage([1, 2], 2, next)).toEqual({ items: [1, 2], token: "" });
    expect(cutPage([], 2, next)).toEqual({ items: [], token: "" });
  });
});
