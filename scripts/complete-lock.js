// Run after `npm install`: adds to package-lock.json the packages of other platforms that npm leaves out when the
// registry in use doesn't carry them. Without them `npm ci` refuses the lock on every machine.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const file = fileURLToPath(new URL("../package-lock.json", import.meta.url));
const lock = JSON.parse(readFileSync(file, "utf8"));
const missing = findMissing(lock.packages);
for (const { name, version, dev } of missing) {
  // Version and platform are all that npm needs to skip a package; its integrity can't be known here.
  lock.packages[`node_modules/${name}`] = { version, ...platformOf(name), ...(dev ? { dev } : {}), optional: true };
}
const sorted = Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, "en"));
lock.packages = Object.fromEntries(sorted);
if (missing.length > 0) writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log(missing.length > 0 ? `Added ${missing.map(({ name }) => name).join(", ")}` : "The lock is complete.");

function findMissing(packages) {
  const found = new Map();
  for (const [owner, { optionalDependencies = {}, dev }] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      const places = [`${owner}/node_modules/${name}`, `node_modules/${name}`];
      if (places.some((place) => packages[place]) || !/^\d/.test(version)) continue;
      found.set(name, { name, version, dev });
    }
  }
  return [...found.values()];
}

// Packages of one platform are named for it: cli-linux-x64-musl, binding-win32-arm64-msvc, linux-arm64.
function platformOf(name) {
  const os = /[-/](android|darwin|freebsd|linux|openharmony|win32)/.exec(name)?.[1];
  const cpu = /-(aarch64|arm64|arm|x64|ia32|ppc64|riscv64|s390x)/.exec(name)?.[1]?.replace("aarch64", "arm64");
  if (!os || !cpu) throw new Error(`${name} doesn't say its platform: add it to package-lock.json by hand.`);
  const libc = os === "linux" && /-(musl|gnu)/.exec(name)?.[1];
  return { cpu: [cpu], ...(libc ? { libc: [libc === "gnu" ? "glibc" : libc] } : {}), os: [os] };
}
