import { describe, expect, it } from "vitest";
import {
  alreadyExists,
  DomainError,
  etagMismatch,
  illegalTransition,
  invalidField,
  invalidFields,
  notFound,
  Problems,
  permissionDenied,
  REASONS,
} from "../src/errors.ts";
import { caught } from "./aip/caught.ts";

describe("the reasons", () => {
  for (const [reason, { code, meaning }] of Object.entries(REASONS)) {
    it(`${reason} has the form that ErrorInfo asks for, and a meaning of one sentence`, () => {
      expect(reason).toMatch(/^[A-Z][A-Z0-9_]{0,61}[A-Z0-9]$/);
      expect(code).toMatch(/^[a-z_]+$/);
      expect(meaning).toMatch(/^[A-Z].*\.$/);
    });
  }
});

describe("every error", () => {
  // What AIP-193 asks for: a program never has to read a message.
  const cases: [DomainError, string[]][] = [
    [notFound("Tenant", "tenants/acme"), ["tenants/acme"]],
    [alreadyExists("Tenant", "tenants/acme"), ["tenants/acme"]],
    [permissionDenied("tenants.read", "tenants/acme"), ["tenants.read", "tenants/acme"]],
    [
      illegalTransition("tenants/acme", "DELETED", "Suspend", ["Undelete", "Purge"]),
      ["tenants/acme", "DELETED", "Suspend", "Undelete, Purge"],
    ],
    [etagMismatch("tenants/acme"), ["tenants/acme"]],
    [invalidField("tenant.display_name", "must be short"), ["tenant.display_name", "must be short"]],
    [
      invalidFields([
        { field: "a", description: "bad" },
        { field: "b", description: "bad" },
      ]),
      ["a, b"],
    ],
  ];
  for (const [error, words] of cases) {
    it(`of ${error.reason} has the words of its message in its metadata: ${error.message}`, () => {
      for (const word of words) expect(error.message).toContain(word);
      expect(Object.values(error.metadata)).toEqual(expect.arrayContaining(words));
      expect(error.code).toBe(REASONS[error.reason].code);
    });
  }

  it("keeps its cause and its own name", () => {
    const cause = new Error("the driver's");
    const error = new DomainError("INTERNAL", "internal error", {}, { cause });
    expect([error.cause, error.name, error instanceof Error]).toEqual([cause, "DomainError", true]);
    expect(new DomainError("INTERNAL", "internal error")).not.toHaveProperty("cause");
  });

  it("of a transition names the state and what it allows", () => {
    expect(illegalTransition("tenants/acme", "DELETED", "Suspend", []).details.preconditions).toEqual([
      { type: "TENANT_STATE", subject: "tenants/acme", description: "DELETED allows none" },
    ]);
  });
});

describe("problems", () => {
  it("throw nothing while there are none, and all of them together", () => {
    const problems = new Problems();
    problems.throwIfAny();
    problems.add("a", "must be set");
    problems.add("b", "must be short");
    expect(() => problems.throwIfAny()).toThrow(
      expect.objectContaining({
        reason: "INVALID_FIELDS",
        message: "invalid fields: a, b",
        details: {
          violations: [
            { field: "a", description: "must be set" },
            { field: "b", description: "must be short" },
          ],
        },
      }),
    );
  });

  it("fit into the trailers of a call, however many and long they are", () => {
    const problems = new Problems();
    for (let i = 0; i < 1_000; i += 1) problems.add(`labels.${"k".repeat(500)}`, "x".repeat(5_000));
    const error = caught(() => problems.throwIfAny());
    const { message, metadata, details } = error;
    expect(details.violations).toHaveLength(16);
    expect(message).toMatch(/ and 984 more$/);
    // The details travel as base64 beside the message, and 16 KiB is what the strictest clients take.
    const bytes = message.length + (JSON.stringify({ metadata, details }).length * 4) / 3;
    expect(bytes).toBeLessThan(16_384);
  });

  it("are cut between characters", () => {
    const [violation] = invalidField("f", `${"x".repeat(298)}😀😀`).details.violations ?? [];
    expect(violation?.description.isWellFormed()).toBe(true);
    expect(violation?.description.length).toBe(300);
  });
});
