import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { CreateTenantRequestSchema } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { describe, expect, it } from "vitest";
import { requestText } from "../../src/server/request-text.ts";

type Init = MessageInitShape<typeof CreateTenantRequestSchema>;

/** The text of a request as the server gets it: from its bytes. */
function textOf(init: Init): string {
  const bytes = toBinary(CreateTenantRequestSchema, create(CreateTenantRequestSchema, init));
  return requestText(CreateTenantRequestSchema, fromBinary(CreateTenantRequestSchema, bytes));
}

const setting = (value: bigint) => ({ value: { case: "intValue" as const, value } });
const base: Init = {
  tenantId: "acme",
  tenant: { displayName: "Acme", labels: { a: "1", b: "2" }, settings: { x: setting(1n), y: setting(2n ** 62n) } },
  requestId: "9f0e0000-0000-4000-8000-00000000000a",
};

describe("the text of a request", () => {
  it("is the same whatever the order of the entries of its maps, and the letters of its id", () => {
    const tenant = {
      ...base.tenant,
      labels: { b: "2", a: "1" },
      settings: { y: setting(2n ** 62n), x: setting(1n) },
    };
    expect(textOf({ ...base, tenant } as Init)).toBe(textOf(base));
    expect(textOf({ ...base, requestId: base.requestId?.toUpperCase() ?? "" })).toBe(textOf(base));
  });

  const others: [string, Init][] = [
    ["a scalar", { ...base, activate: true }],
    ["an entry's value", { ...base, tenant: { ...base.tenant, labels: { a: "1", b: "3" } } } as Init],
    ["an entry's key", { ...base, tenant: { ...base.tenant, labels: { a: "1", c: "2" } } } as Init],
    [
      "an integer beyond doubles",
      { ...base, tenant: { ...base.tenant, settings: { x: setting(1n), y: setting(2n ** 62n + 1n) } } } as Init,
    ],
    ["a value that moves to the next field", { ...base, tenantId: "", adminEmail: "acme" }],
  ];
  for (const [what, other] of others) {
    it(`differs by ${what}`, () => {
      expect(textOf(other)).not.toBe(textOf(base));
    });
  }
});
