import { ConnectError } from "@connectrpc/connect";
import { fieldViolations } from "@tenantplane/sdk/web";
import { Command } from "commander";
import { OperatorError } from "../platform/operator-error.ts";
import { addAccessCommands } from "./access-commands.ts";
import { addDemoCommand } from "./demo.ts";
import { migrateCommand } from "./migrate.ts";
import { serve } from "./serve.ts";
import { addTenantCommands } from "./tenant-commands.ts";

/** Runs the command line. Refused calls become one line (and one more for each bad field). */
export async function runCli(args: readonly string[]): Promise<void> {
  try {
    await createProgram().parseAsync([...args], { from: "user" });
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    if (error.rawMessage === "fetch failed") {
      throw new OperatorError("No server answers: start one with `npm start`, or name it with --server.");
    }
    const fields = fieldViolations(error).map(({ field, description }) => `\n  ${field}: ${description}`);
    throw new OperatorError(`${error.rawMessage}${fields.join("")}`);
  }
}

/** The command line with all its commands. */
export function createProgram(): Command {
  const program = new Command("tenantplane")
    .description("The tenant control plane: server and operator's tool.")
    .option("--server <url>", "HTTP address of the server (or TENANTPLANE_SERVER)")
    .option("--key <key>", "API key (or TENANTPLANE_KEY; else the first admin key of this folder)")
    .option("--json", "print one JSON object a line");
  program.command("serve").description("Run a server node.").action(serve);
  program
    .command("migrate")
    .description("Bring the database of DATABASE_URL up to this release.")
    .action(migrateCommand);
  addTenantCommands(program);
  addAccessCommands(program);
  addDemoCommand(program);
  return program;
}
