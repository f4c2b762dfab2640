// Runs before `npm start`, `npm test` and `npm run check`, on whatever Node the machine has: installs what is missing.
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
// A machine's own npm settings must not leave out what we need: the tools of the tests, the binaries of this platform,
// and the scripts that put Node and Postgres in place (package.json's allowScripts says which may run).
const INSTALL = ["ci", "--include=dev", "--include=optional", "--ignore-scripts=false", "--loglevel=error"];
const APT_TIMEOUT_MS = 300_000;
const BROWSERS = ["chromium", "chromium-browser", "google-chrome"];

installPackages();
if (process.argv.includes("--tests")) {
  findRedis();
  findBrowser();
}

function installPackages() {
  const hash = createHash("sha256");
  const patches = readdirSync(join(root, "patches")).map((file) => `patches/${file}`);
  for (const file of ["package.json", "package-lock.json", "sdk/package.json", ...patches])
    hash.update(readFileSync(join(root, file)));
  const wanted = hash.digest("hex");
  const mark = join(root, "node_modules", ".prepared");
  if (existsSync(mark) && readFileSync(mark, "utf8") === wanted) return;
  console.log("Installing packages (once; about half a minute) ...");
  const npm = spawnSync("npm", [...INSTALL, "--no-fund", "--no-audit"], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (npm.status !== 0) {
    console.error(`The packages could not be installed (${npm.error?.message ?? "see above"}): mend it and try again.`);
    process.exit(1);
  }
  patchPackages();
  writeFileSync(mark, wanted);
}

// Mends faults of packages that their newest versions still have; each patch says at its place what it changes.
function patchPackages() {
  const patch = join(root, "node_modules", "patch-package", "index.js");
  const run = spawnSync(process.execPath, [patch, "--error-on-fail"], { cwd: root, encoding: "utf8" });
  if (run.status === 0) return;
  console.error(`The patches of ./patches don't fit the packages:\n${run.stdout}${run.stderr}`);
  process.exit(1);
}

// The suites of the Redis side run on a real server: REDIS_URL, one on PATH, or Debian's.
function findRedis() {
  if (process.env.REDIS_URL || onPath("redis-server") || onPath("valkey-server")) return;
  installDebian("redis-server");
  if (onPath("redis-server")) return;
  console.error("No Redis: the suites of the Redis side are skipped. Install redis-server, or set REDIS_URL.");
  if (process.env.CI === "true") process.exit(1);
}

// The suite of the browser runs in Chromium. A person's machine gets none unasked: it is a hundred times Redis' size.
function findBrowser() {
  if (process.env.CI !== "true" || BROWSERS.some(onPath)) return;
  installDebian("chromium");
  if (BROWSERS.some(onPath)) return;
  console.error("CI has no Chromium, and it could not be installed.");
  process.exit(1);
}

function installDebian(name) {
  if (process.getuid?.() !== 0 || !onPath("apt-get")) return;
  console.log(`Installing ${name} for the tests (once) ...`);
  const apt = (...args) =>
    execFileSync("apt-get", ["-qq", "-o", "DPkg::Lock::Timeout=60", ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      stdio: ["ignore", "ignore", "pipe"],
      timeout: APT_TIMEOUT_MS,
    });
  // A policy that refuses to start services: the tests start their own server.
  const policy = "/usr/sbin/policy-rc.d";
  const ours = !existsSync(policy);
  try {
    apt("update");
    if (ours) writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
    apt("install", "-y", "--no-install-recommends", name);
  } catch (error) {
    const why = String(error.stderr ?? "")
      .trim()
      .split("\n")
      .at(-1);
    console.error(`${name} could not be installed: ${why || error.message}`);
  } finally {
    if (ours) rmSync(policy, { force: true });
  }
}

function onPath(program) {
  return (process.env.PATH ?? "").split(":").some((folder) => existsSync(join(folder, program)));
}
