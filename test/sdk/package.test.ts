import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const PACKAGE = "node_modules/@tenantplane/sdk";
let folder = "";

/** The published package in a project of its own; its dependencies are those of this repository, so nothing is fetched. */
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sdk-package-"));
  const packed = run("npm", ["pack", "--json", "--pack-destination", folder], resolve("sdk"));
  // The build's own lines come before the list.
  const [{ filename }] = JSON.parse(packed.slice(packed.search(/^\[\s*$/m))) as [{ filename: string }];
  mkdirSync(join(folder, PACKAGE), { recursive: true });
  run("tar", ["-xzf", filename, "-C", PACKAGE, "--strip-components=1"], folder);
  for (const scope of ["@bufbuild", "@connectrpc", "@grpc", "@types"]) {
    symlinkSync(resolve("node_modules", scope), join(folder, "node_modules", scope));
  }
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(program: string, args: string[], cwd = folder): string {
  try {
    return execFileSync(program, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${program} ${args.join(" ")}:\n${stdout}${stderr}`);
  }
}

function write(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return name;
}

function filesOf(path: string): string[] {
  return readdirSync(join(folder, path), { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".js"));
}

const uses = `
  const clients = createClients({ address: "http://127.0.0.1:1", apiKey: "k", retry: { attempts: 1 } });
  clients.tenants.getTenant({ name: "tenants/a" }).catch((error) => {
    clients.close();
    console.log(error.code, Tenant_State.ACTIVE, typeof web.createClients, typeof watchTenants);
  });`;

describe("the package", () => {
  it("works as an ES module, and when CommonJS requires it", () => {
    const esm = `import { createClients, Tenant_State, watchTenants } from "@tenantplane/sdk";
      import * as web from "@tenantplane/sdk/web";${uses}`;
    const cjs = `const { createClients, Tenant_State, watchTenants } = require("@tenantplane/sdk");
      const web = require("@tenantplane/sdk/web");${uses}`;
    expect(run(process.execPath, [write("main.mjs", esm)])).toBe("14 2 function function\n");
    expect(run(process.execPath, [write("main.cjs", cjs)])).toBe("14 2 function function\n");
  });

  // Connect's own types name HeadersInit, which is in lib "dom" alone: projects for Node need that lib too.
  it.each([
    [
      "Node",
      ["es2023", "dom"],
      ["node"],
      `import { createClients, type Tenant } from "@tenantplane/sdk";
      const clients = createClients({ address: "http://a:1" });`,
    ],
    [
      "browsers",
      ["es2023", "dom", "dom.iterable"],
      [],
      `import { createClients } from "@tenantplane/sdk/web";
      import type { Tenant } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
      const clients = createClients({ baseUrl: "http://a", apiKey: "k" });`,
    ],
  ])("has types that hold on their own, for %s", (name, lib, types, text) => {
    const file = write(
      `${name}.ts`,
      `${text}
      export const tenant: Promise<Tenant | undefined> = clients.tenants.getTenant({ name: "tenants/a" }).then((r) => r.tenant);
      // @ts-expect-error A field that is not there must not compile: the types are more than any.
      clients.tenants.getTenant({ nome: "" });`,
    );
    const compilerOptions = {
      module: "nodenext",
      target: "es2022",
      strict: true,
      skipLibCheck: false,
      noEmit: true,
      lib,
      types,
    };
    const project = write(`${name}.json`, JSON.stringify({ compilerOptions, files: [file] }));
    expect(run(resolve("node_modules/.bin/tsc"), ["-p", project])).toBe("");
  });

  it("has a web entry that needs nothing of Node, directly or by what it imports", () => {
    const seen = new Set<string>();
    const visit = (file: string) => {
      if (seen.has(file)) return;
      seen.add(file);
      const text = readFileSync(join(folder, PACKAGE, "dist", file), "utf8");
      for (const [, target = ""] of text.matchAll(/from "([^"]+)"/g)) {
        if (target.startsWith(".")) visit(join(file, "..", target));
        else expect(target).toMatch(/^@(bufbuild\/protobuf|connectrpc\/connect(-web)?)(\/|$)/);
      }
    };
    visit("web.js");
    expect(seen).toContain("gen/tenantplane/v1/tenant_pb.js");
  });

  it("holds the build and nothing of the sources or the server", () => {
    expect(readdirSync(join(folder, PACKAGE)).sort()).toEqual(["dist", "package.json"]);
    expect(filesOf(join(PACKAGE, "dist"))).toContain("node.js");
  });
});
