// Runs before `npm start`, `npm test` and `npm run check`, on whatever Node the machine has: installs what is missing.
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
installPackages();
if (process.argv.includes("--redis")) findRedis();

function installPackages() {
  const hash = createHash("sha256");
  for (const file of ["package.json", "package-lock.json", "sdk/package.json"])
    hash.update(readFileSync(join(root, file)));
  const wanted = hash.digest("hex");
  const mark = join(root, "node_modules", ".prepared");
  if (existsSync(mark) && readFileSync(mark, "utf8") === wanted) return;
  console.log("Installing packages (once; about half a minute) ...");
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  // Not `npm ci`: it refuses a lock made where builds for other platforms could not be looked up. This keeps to the
  // lock's versions and writes nothing but node_modules.
  const run = spawnSync(npm, ["install", "--no-save", "--loglevel=error", "--no-fund", "--no-audit"], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (run.status !== 0) {
    console.error("The packages could not be installed: see above, then try again.");
    process.exit(1);
  }
  writeFileSync(mark, wanted);
}

// The suites of the Redis side run on a real server: REDIS_URL, one on PATH, or Debian's.
function findRedis() {
  if (process.env.REDIS_URL || onPath("redis-server") || onPath("valkey-server")) return;
  if (process.getuid?.() === 0 && onPath("apt-get")) {
    console.log("Installing redis-server for the tests (once) ...");
    try {
      // A policy that refuses to start services: the tests start their own server.
      const policy = "/usr/sbin/policy-rc.d";
      const ours = !existsSync(policy);
      if (ours) writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
      const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
      const apt = (...args) => execFileSync("apt-get", ["-qq", ...args], { env, stdio: "ignore" });
      try {
        apt("update");
        apt("install", "-y", "--no-install-recommends", "redis-server");
      } finally {
        if (ours) rmSync(policy, { force: true });
      }
    } catch {
      console.error("redis-server could not be installed.");
    }
  }
  if (onPath("redis-server")) return;
  console.error("No Redis: the suites of the Redis side are skipped. Install redis-server, or set REDIS_URL.");
  if (process.env.CI === "true") process.exit(1);
}

function onPath(program) {
  return (process.env.PATH ?? "").split(":").some((folder) => existsSync(join(folder, program)));
}
