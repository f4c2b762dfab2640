import type { Command } from "commander";
import type { GlobalOptions } from "../client.ts";
import { jsonText, printable, write } from "../output.ts";
import type { Finding } from "./finding.ts";

/** Adds the command that looks for what is wrong. */
export function addDoctorCommand(program: Command): void {
  program
    .command("doctor")
    .description("Look for what is wrong with this machine's node, its settings, Postgres and Redis.")
    .addHelpText("after", HELP)
    .action(async (_: object, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const { examine } = await import("./examine.ts");
      let failed = false;
      for await (const findings of examine(options, process.env)) {
        failed ||= findings.some(({ status }) => status === "fail");
        await write(findings.map((finding) => (options.json ? `${jsonText(finding)}\n` : line(finding))).join(""));
      }
      if (failed) process.exitCode = 1;
    });
}

const HELP = `
Reads, changes nothing, and prints no secrets. Run it with the environment of the node.
Each line is ok, warn, fail or skip (not checked); the exit code is 1 when one is fail.`;

/** The longest name of a check, and some air. */
const CHECK_WIDTH = 20;

function line({ check, status, detail, advice }: Finding): string {
  const hint = advice === undefined ? "" : `\n${" ".repeat(6 + CHECK_WIDTH)}-> ${advice}`;
  return `${status.padEnd(6)}${check.padEnd(CHECK_WIDTH)}${printable(detail)}${hint}\n`;
}
