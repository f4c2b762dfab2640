import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { getOption } from "@bufbuild/protobuf";
import { AccessRule_Target, access } from "@tenantplane/sdk/gen/tenantplane/v1/options_pb";
import { describe, expect, it } from "vitest";
import { ROLES } from "../src/auth/permission.ts";
import { SETTINGS } from "../src/config.ts";
import { REASONS } from "../src/errors.ts";
import { SERVICES } from "../src/server/services.ts";

/** Compares with the kept file; UPDATE=1 writes it anew, so that a reviewer sees what changed of a public surface. */
function golden(file: string, text: string): void {
  const path = `test/golden/${file}`;
  if (process.env.UPDATE === "1") writeFileSync(path, text);
  const kept = existsSync(path) ? readFileSync(path, "utf8") : "";
  expect(
    text,
    `${path} differs: if you meant to change this public surface, run UPDATE=1 npx vitest run test/golden.test.ts`,
  ).toBe(kept);
}

const table = (head: string[], rows: string[][]) =>
  `${[head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n")}\n`;

const METHODS = SERVICES.flatMap((service) => service.methods);

describe("the public surfaces", () => {
  it("of access: each RPC with its permission, its target and the roles that have it", () => {
    const rows = METHODS.map((method) => {
      const rule = getOption(method, access);
      const target = Object.entries(AccessRule_Target).find(([, value]) => value === rule.target)?.[0] ?? "";
      const roles = Object.entries(ROLES).filter(([, role]) =>
        (role.permissions as ReadonlySet<string>).has(rule.permission),
      );
      return [
        `${method.parent.name}/${method.name}`,
        rule.permission,
        `${target} ${rule.field}`.trim(),
        roles.map(([name]) => name).join(" "),
      ];
    });
    golden("rpc-scopes.md", table(["RPC", "permission", "target", "roles"], rows));
  });

  it("of errors: each reason with its code and meaning", () => {
    golden(
      "errors.md",
      table(
        ["reason", "code", "meaning"],
        Object.entries(REASONS).map(([name, r]) => [name, r.code, r.meaning]),
      ),
    );
  });

  it("of settings: each variable with its default", () => {
    const rows = Object.entries(SETTINGS).map(([name, setting]) => [
      `\`${name}\``,
      setting.default && `\`${setting.default}\``,
      setting.help,
    ]);
    golden("config.md", table(["variable", "default", "meaning"], rows));
  });
});

describe("every RPC", () => {
  it("declares a permission that some role has, and a target whose field exists", () => {
    const permissions = new Set(Object.values(ROLES).flatMap((role) => [...role.permissions] as string[]));
    const wrong = METHODS.filter((method) => {
      const rule = getOption(method, access);
      const [head = "", tail] = rule.field.split(".");
      const field = method.input.fields.find((candidate) => candidate.name === head);
      const found = tail === undefined ? field : field?.message?.fields.find((candidate) => candidate.name === tail);
      const needsField = rule.target === AccessRule_Target.TENANT || rule.target === AccessRule_Target.INTEGRATOR;
      const permitted = rule.permission === "" ? method.name === "TestPermissions" : permissions.has(rule.permission);
      return rule.target === AccessRule_Target.UNSPECIFIED || !permitted || (needsField && !found);
    });
    expect(wrong.map((method) => method.name)).toEqual([]);
  });

  it("follows the conventions: writes take request_id, changes take an etag, lists are paged", () => {
    const has = (method: (typeof METHODS)[number], name: string) =>
      method.input.fields.some((field) => field.name === name);
    const wrong = METHODS.flatMap((method) => {
      const reads = /^(Get|List|BatchGet|Watch|Export|Test)/.test(method.name);
      const problems = [
        !reads && !has(method, "request_id") && "a write needs request_id",
        reads !== (method.idempotency === 1) && "reads, and only reads, are NO_SIDE_EFFECTS",
        /^List/.test(method.name) && !(has(method, "page_size") && has(method, "page_token")) && "a list needs pages",
        /^List/.test(method.name) && method.output.fields[0]?.fieldKind !== "list" && "a list answers its items first",
        /^(Delete|Activate|Suspend|Resume|Archive|Unarchive|Undelete)/.test(method.name) &&
          !has(method, "etag") &&
          "needs an etag",
      ];
      return problems.filter(Boolean).map((problem) => `${method.name}: ${problem}`);
    });
    expect(wrong).toEqual([]);
  });
});
