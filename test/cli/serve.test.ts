import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase } from "../support/app.ts";
import { start } from "../support/cli.ts";
import { testRedisUrl } from "../support/redis.ts";

const folder = mkdtempSync(join(tmpdir(), "serve-"));
let database: Awaited<ReturnType<typeof createDatabase>>;

beforeAll(async () => {
  database = await createDatabase();
});
afterAll(async () => {
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

const settings = (more: Record<string, string> = {}) => ({
  DATABASE_URL: database.url,
  DATA_FOLDER: folder,
  GRPC_PORT: "0",
  HTTP_PORT: "0",
  ...more,
});

describe("a node", () => {
  it("greets with its first key, kept for its owner alone, and with commands that work as they are printed", async () => {
    const running = start(["serve"], settings());
    await running.until(/Ctrl-C stops it/);
    const commands =
      running.out().split("Try it:\n")[1]?.split("\n\nCtrl-C")[0]?.replaceAll("\\\n", "").split("\n") ?? [];
    const hasCurl = spawnSync("curl", ["--version"]).status === 0;
    if (!hasCurl) console.warn("There is no curl: the printed command that needs it is not tried.");
    const tried = commands.filter((command) => hasCurl || !command.includes("curl -s"));
    const outcomes = tried.map((command) => {
      const { status, stderr } = spawnSync("sh", ["-c", command], { encoding: "utf8" });
      return { command, status, stderr };
    });
    running.process.kill("SIGINT");
    const { code, out } = await running.ended;
    expect(outcomes).toEqual(tried.map((command) => ({ command, status: 0, stderr: "" })));
    expect(commands.map((command) => command.trim().split(" ").slice(0, 2).join(" "))).toEqual([
      "npx buf",
      "curl -s",
      "npx tenantplane",
    ]);
    expect(out).toMatch(/First admin key: tpk_\w+ \(kept in \S+admin-key\)\n/);
    expect(statSync(join(folder, "admin-key")).mode & 0o777).toBe(0o600);
    expect([code, out.split("\n").slice(-2)]).toEqual([0, ["Stopped.", ""]]);
  });

  it("tells its key no second time", async () => {
    const running = start(["serve"], settings());
    await running.until(/Ctrl-C stops it/);
    running.process.kill("SIGTERM");
    expect((await running.ended).out).not.toContain("tpk_");
  });

  it("is refused in a line when it can't be", async () => {
    const ended = (args: string[], more: Record<string, string>) => start(args, settings(more)).ended;
    const wrong = await ended(["serve"], { HTTP_PORT: "x", LOG_LEVEL: "loud" });
    const alone = await ended(["worker"], {});
    const idle = await ended(["worker"], { REDIS_URL: "redis://127.0.0.1:1", RUN_JOBS: "off" });
    expect([wrong, alone, idle].map(({ code, out, err }) => [code, out, err])).toEqual([
      [
        1,
        "",
        "Settings are wrong: HTTP_PORT must be a whole number from 0 to 65535; " +
          "LOG_LEVEL must be one of debug, info, warn, error, silent.\n",
      ],
      [1, "", "A worker needs REDIS_URL: without it a node does all work itself.\n"],
      [1, "", "A worker with RUN_JOBS off would do nothing: unset RUN_JOBS.\n"],
    ]);
  });

  it("is migrated by a command of its own", async () => {
    const fresh = await createDatabase();
    const first = await start(["migrate"], { DATABASE_URL: fresh.url }).ended;
    const second = await start(["migrate"], { DATABASE_URL: fresh.url }).ended;
    await fresh.drop();
    const without = await start(["migrate"], {}).ended;
    expect([first, second, without].map(({ code, out, err }) => [code, out, err])).toEqual([
      [0, "", expect.stringMatching(/^Applied \d+ migrations\.\n$/)],
      [0, "", "The database is up to date.\n"],
      [1, "", "Set DATABASE_URL: the embedded database is migrated by `serve`.\n"],
    ]);
  });
});

describe.skipIf(!testRedisUrl())("a worker", () => {
  it("answers probes, and ends on a signal", async () => {
    const running = start(["worker"], settings({ REDIS_URL: testRedisUrl() ?? "" }));
    await running.until(/Ctrl-C stops it/);
    const [, address = ""] = /Probes and metrics +(\S+)/.exec(running.out()) ?? [];
    const ready = await fetch(`${address}/readyz`);
    const call = await fetch(`${address}/tenantplane.v1.TenantService/ListTenants`, { method: "POST" });
    running.process.kill("SIGTERM");
    const { code } = await running.ended;
    expect([ready.status, call.status, code]).toEqual([200, 404, 0]);
  });
});
