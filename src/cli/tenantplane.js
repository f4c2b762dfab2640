#!/usr/bin/env node
// Starts the command line on the Node that the project brings, whatever Node the machine has.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const node = `${root}node_modules/.bin/node`;
if (!existsSync(node)) {
  console.error("The packages are not installed yet: run `npm start` once.");
  process.exit(1);
}
const child = spawn(node, ["--conditions=source", `${root}src/main.ts`, ...process.argv.slice(2)], {
  stdio: "inherit",
  // Halves the time that a short command takes.
  env: { NODE_COMPILE_CACHE: `${root}node_modules/.cache/compile`, ...process.env },
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("error", (error) => {
  console.error(`The project's Node can't be started (${error.message}): remove node_modules, then run \`npm start\`.`);
  process.exitCode = 1;
});
child.on("exit", (code, signal) => {
  process.exitCode = code ?? 128 + (constants.signals[signal ?? "SIGTERM"] ?? 0);
});
