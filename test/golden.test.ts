import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { AccessRule_Target, AccessRuleSchema } from "@tenantplane/sdk/gen/tenantplane/v1/options_pb";
import type { Command } from "commander";
import { parseSync } from "oxc-parser";
import { Counter, Gauge, Histogram } from "prom-client";
import { describe, it } from "vitest";
import { ROLES } from "../src/auth/permission.ts";
import { createProgram } from "../src/cli/cli.ts";
import { manifestRoute } from "../src/compat/manifest-rpc.ts";
import { type OfrepDeps, ofrepRoutes } from "../src/compat/ofrep-rpc.ts";
import { SETTINGS } from "../src/config.ts";
import { REASONS } from "../src/errors.ts";
import type { FlagDeps } from "../src/flag/base-service.ts";
import { createMetrics } from "../src/platform/metrics.ts";
import { accessRule } from "../src/server/access.ts";
import { fullName } from "../src/server/handlers.ts";
import { ALL_SERVICES } from "../src/server/services.ts";
import { golden, markdownTable } from "./support/golden.ts";

/** Only made: nothing is called that would need what they work with. */
const ROUTES = [...ofrepRoutes({} as OfrepDeps), manifestRoute({} as FlagDeps)];
const METHODS = ALL_SERVICES.flatMap((service) => service.methods);

const EMPTY_QUEUE = { waiting: 0, active: 0, delayed: 0, failed: 0, workers: 0 };

describe("the public surfaces", () => {
  it("of access: each RPC and each route with its permission, its target and the roles that have it", () => {
    const rpcs = METHODS.map((method) => ({
      name: fullName(method).replace("tenantplane.v1.", ""),
      rule: accessRule(method),
    }));
    const routes = ROUTES.map(({ method, path, rule }) => ({
      name: `${method} ${path}`,
      rule: create(AccessRuleSchema, rule),
    }));
    const rows = [...rpcs, ...routes].map(({ name, rule }) => {
      const target = Object.entries(AccessRule_Target).find(([, value]) => value === rule.target)?.[0] ?? "";
      const roles = Object.entries(ROLES).filter(([, role]) =>
        (role.permissions as ReadonlySet<string>).has(rule.permission),
      );
      return [name, rule.permission, `${target} ${rule.field}`.trim(), roles.map(([role]) => role).join(" ")];
    });
    golden("rpc-scopes.md", markdownTable(["RPC", "permission", "target", "roles"], rows));
  });

  it("of errors: each reason with its code and meaning", () => {
    golden(
      "errors.md",
      markdownTable(
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
    golden("config.md", markdownTable(["variable", "default", "meaning"], rows));
  });

  it("of metrics: each name with its kind, labels and help", () => {
    const { registry } = createMetrics({ tenants: () => 0, watchers: () => 0, queue: async () => EMPTY_QUEUE });
    const own = registry.getMetricsAsArray().filter(({ name }) => name.startsWith("tenantplane_"));
    const kinds = { counter: Counter, gauge: Gauge, histogram: Histogram };
    const rows = own.map((metric) => {
      const kind = Object.entries(kinds).find(([, type]) => metric instanceof type)?.[0] ?? "?";
      const { labelNames = [] } = metric as { labelNames?: string[] };
      return [`\`${metric.name}\``, kind, labelNames.join(" "), metric.help];
    });
    golden("metrics.md", markdownTable(["metric", "kind", "labels", "meaning"], rows));
  });

  it("of the SDK: what each of its entries exports", () => {
    const { exports } = JSON.parse(readFileSync("sdk/package.json", "utf8")) as {
      exports: Record<string, { source: string }>;
    };
    const rows = Object.entries(exports)
      // Generated modules are held by the descriptors, against the last release.
      .filter(([entry]) => !entry.includes("*"))
      .flatMap(([entry, { source }]) => exportsOf(`sdk/${source}`).map((row) => [entry, ...row]));
    golden("sdk-exports.md", markdownTable(["entry", "export", "kind"], rows));
  });

  it("of the command line: the help of every command", () => {
    golden("cli-help.txt", helpOf(createProgram()).join("\n"));
  });
});

function exportsOf(file: string): [string, string][] {
  const { staticExports } = parseSync(file, readFileSync(file, "utf8")).module;
  return staticExports
    .flatMap(({ entries }) => entries)
    .flatMap(({ exportName, moduleRequest, isType }): [string, string][] => {
      if (exportName.name !== null) return [[exportName.name, isType ? "type" : "value"]];
      const from = join(dirname(file), moduleRequest?.value ?? "");
      return from.includes("/gen/") ? [[`all of ${moduleRequest?.value}`, "module"]] : exportsOf(from);
    })
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

function helpOf(command: Command): string[] {
  let text = "";
  const writeOut = (part: string) => {
    text += part;
  };
  command.configureOutput({ writeOut, getOutHelpWidth: () => 100 }).outputHelp();
  return [text, ...command.commands.flatMap(helpOf)];
}
