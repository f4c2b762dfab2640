import { describe, expect, it } from "vitest";
import { type ProviderDocument, providerDocument, syncContext } from "../../src/compat/flagd-document.ts";

type Flag = ProviderDocument["flags"][string];

const good: Flag = { state: "ENABLED", variants: { on: true, off: false }, defaultVariant: "off" };
const documentOf = (flags: Record<string, Flag>) =>
  providerDocument({ document: { flags, metadata: { scope: "wrong", team: "a" } }, left: [] }, "acme");

describe("a document for providers", () => {
  it("has every flag that they can read, and whose they are", () => {
    const targeting = { if: [{ var: "a" }, "on", null] };
    const flags = { good, rule: { ...good, targeting }, none: { state: "DISABLED", variants: { a: 1 } } } as const;
    expect(documentOf(flags)).toEqual({ flags, metadata: { scope: "acme", team: "a" } });
  });

  it.each([
    ["without variants", { ...good, variants: {} }],
    ["of two types", { ...good, variants: { on: true, off: "no" } }],
    ["of lists", { ...good, variants: { off: [] } }],
    ["with a default that is no variant", { ...good, defaultVariant: "constructor" }],
    ["of another state", { ...good, state: "MAYBE" }],
    ["with a rule that is no object", { ...good, targeting: [] }],
  ])("leaves out a flag %s, and no other", (_, bad) => {
    expect(Object.keys(documentOf({ good, bad: bad as unknown as Flag }).flags)).toEqual(["good"]);
  });

  it("puts the tenant's facts where no attribute of a caller is read", () => {
    expect(syncContext({ id: "acme", state: "ACTIVE", plan: "pro" })).toEqual({
      $tenant: { id: "acme", state: "ACTIVE", plan: "pro" },
    });
  });
});
