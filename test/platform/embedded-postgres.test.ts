import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startEmbeddedPostgres } from "../../src/platform/embedded-postgres.ts";

let dataFolder: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  dataFolder = mkdtempSync(join(tmpdir(), "tenantplane-pg-"));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(dataFolder, { recursive: true, force: true });
});

/** A process of its own that starts Postgres on the folder and then only lives; resolves with what it prints first. */
async function startOwner(): Promise<{ child: ChildProcess; url: string }> {
  const module = new URL("../../src/platform/embedded-postgres.ts", import.meta.url).href;
  const script = `const { startEmbeddedPostgres } = await import(${JSON.stringify(module)});
    const { url } = await startEmbeddedPostgres({ dataFolder: ${JSON.stringify(dataFolder)} });
    console.log(url); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const url = await new Promise<string>((done, fail) => {
    child.stdout?.once("data", (text: Buffer) => done(text.toString().trim()));
    child.once("exit", () => fail(new Error("the owner ended at once")));
  });
  return { child, url };
}

async function exec(url: string, statement: string): Promise<unknown> {
  const sql = postgres(url, { max: 1, connect_timeout: 2, fetch_types: false });
  try {
    return [...(await sql.unsafe(statement))];
  } finally {
    await sql.end();
  }
}

describe("the embedded Postgres", () => {
  it("keeps its data over a stop, and leaves no process and no claim", async () => {
    const first = await startEmbeddedPostgres({ dataFolder });
    await exec(first.url, "create table kept as select 42 as n");
    await first.stop();
    await expect(exec(first.url, "select 1")).rejects.toThrow(/ECONNREFUSED/);
    expect(existsSync(join(dataFolder, "owner"))).toBe(false);
    const second = await startEmbeddedPostgres({ dataFolder });
    expect(await exec(second.url, "select n from kept")).toEqual([{ n: 42 }]);
    await second.stop();
  });

  it("ends when its owner is killed with -9, and starts anew with what was committed", async () => {
    const { child, url } = await startOwner();
    await exec(url, "create table kept as select 42 as n");
    child.kill("SIGKILL");
    await expect
      .poll(
        () =>
          exec(url, "select 1").then(
            () => "up",
            () => "down",
          ),
        { timeout: 10_000 },
      )
      .toBe("down");
    const next = await startEmbeddedPostgres({ dataFolder });
    expect(await exec(next.url, "select n from kept")).toEqual([{ n: 42 }]);
    await next.stop();
  });

  it("refuses a second live owner in one line", async () => {
    const { child } = await startOwner();
    await expect(startEmbeddedPostgres({ dataFolder })).rejects.toThrow(
      `Another Tenantplane (pid ${child.pid}) is using ${dataFolder}: stop it, or set DATA_FOLDER or DATABASE_URL.`,
    );
  });

  it("refuses data of another major version, and a folder that can't be one", async () => {
    const first = await startEmbeddedPostgres({ dataFolder });
    const version = String(
      ((await exec(first.url, "show data_directory")) as { data_directory: string }[])[0]?.data_directory,
    );
    await first.stop();
    const file = join(version, "PG_VERSION");
    expect(readFileSync(file, "utf8").trim()).toBe("18");
    writeFileSync(file, "15\n");
    await expect(startEmbeddedPostgres({ dataFolder })).rejects.toThrow(
      /is of Postgres 15, not 18: move it away, or set DATA_FOLDER/,
    );
    await expect(startEmbeddedPostgres({ dataFolder: file })).rejects.toThrow(/can't be used \((EEXIST|ENOTDIR)\)/);
  });
});
