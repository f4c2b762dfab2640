import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase } from "../support/app.ts";
import { type NodeProcess, startNode } from "../support/node-process.ts";
import { PATIENT } from "../support/quota.ts";

let folder: string;
let database: Awaited<ReturnType<typeof createDatabase>>;
let node: NodeProcess;

beforeAll(async () => {
  // A project's folder as the reader has it: the packages, and beside them what the first start has made.
  folder = mkdtempSync(join(tmpdir(), "tenantplane-readme-"));
  for (const linked of ["node_modules", "package.json", "sdk", "src"])
    symlinkSync(resolve(linked), join(folder, linked));
  mkdirSync(join(folder, ".tenantplane"));
  database = await createDatabase();
  node = await startNode({ ...PATIENT, DATABASE_URL: database.url, DATA_FOLDER: join(folder, ".tenantplane") });
  await node.ready;
});
afterAll(async () => {
  node.process.kill("SIGTERM");
  await node.ended;
  rmSync(folder, { recursive: true, force: true });
  await database.drop();
});

/** The code of the README in one language, with the ports of our node in the place of the usual ones. */
function blocks(language: string): string[] {
  const text = readFileSync("README.md", "utf8");
  return [...text.matchAll(/^```(\w+)\n(.*?)^```/gms)]
    .filter(([, found]) => found === language)
    .map(([, , code = ""]) => code.replaceAll(":8080", `:${node.httpPort}`).replaceAll(":50051", `:${node.grpcPort}`));
}

async function run(program: string, args: string[]): Promise<string> {
  const key = readFileSync(join(folder, ".tenantplane/admin-key"), "utf8").trim();
  const environment = {
    PATH: process.env.PATH,
    KEY: key,
    TENANTPLANE_SERVER: `http://127.0.0.1:${node.grpcPort}`,
    TENANTPLANE_KEY: key,
  };
  const { stdout } = await promisify(execFile)(program, args, { cwd: folder, env: environment });
  return stdout;
}

describe("the README", () => {
  it("has commands that work, in their order", async () => {
    const [start, ...rest] = blocks("sh");
    expect(start).toMatch(/^npm start .*\nnpm test .*\n$/);
    const out = await run("bash", ["-euo", "pipefail", "-c", rest.join("\n")]);
    expect(out).toContain('"tenants/acme"');
    expect(out).toContain("tenantplane.v1.TenantService/GetTenant");
    expect(out).not.toMatch(/"code":/);
  });

  it("has programs for Node that work, and one for browsers that begins the same", async () => {
    const [forNode = "", forBrowsers = "", forQuotas = ""] = blocks("js");
    const runProgram = (program: string) => {
      writeFileSync(join(folder, "example.mjs"), program);
      return run(process.execPath, ["--conditions=source", "example.mjs"]);
    };
    // A transaction of another test may hold back the log, and with it the name in the watch's first message.
    expect(await runProgram(forNode)).toMatch(/^ETAG_MISMATCH\n\[ 'Acme( Ltd)?' \]\n$/);
    expect(await runProgram(forQuotas)).toMatch(/^ALLOW 99\dn\ntrue\n$/);
    expect(forBrowsers).toContain('from "@tenantplane/sdk/web"');
  });
});
