import { Command, CommanderError, Help } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { SETTINGS } from "../config.ts";
import { OperatorError } from "../platform/operator-error.ts";
import { addAuditCommands } from "./audit-commands.ts";
import { addDemoCommand } from "./demo/command.ts";
import { addDoctorCommand } from "./doctor/command.ts";
import { addFlagCommands } from "./flag-commands.ts";
import { addIntegratorCommands } from "./integrator-commands.ts";
import { addKeyCommands } from "./key-commands.ts";
import { addMeterCommands } from "./meter-commands.ts";
import { note, OutputClosed, tableText } from "./output.ts";
import { addPlanCommands } from "./plan-commands.ts";
import { addQuotaCommands } from "./quota-commands.ts";
import { addTenantCommands } from "./tenant-commands.ts";
import { addUserCommands } from "./user-commands.ts";
import { addWatchCommand } from "./watch-command.ts";

const EXIT_FAILED = 1;
/** As shells have it: the command itself was wrong, and nothing was tried. */
const EXIT_USAGE = 2;

/** Runs the command line; answers its exit code. Says in a line why it failed; of a fault of ours, all there is to say. */
export async function runCli(args: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync([...args], { from: "user" });
  } catch (error) {
    return exitCodeOf(error);
  }
  return Number(process.exitCode ?? 0);
}

function exitCodeOf(error: unknown): number {
  if (error instanceof OutputClosed) return 0;
  // Commander has said what is wrong already; help and version are no errors.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  note(error instanceof OperatorError ? error.message : text);
  return EXIT_FAILED;
}

/** The command line with all its commands. */
export function createProgram(): Command {
  const program = new Command("tenantplane")
    .description("The tenant control plane: server and operator's tool.")
    .version(packageJson.version, "--version", "print the version")
    .helpOption("-h, --help", "print this help")
    .option("--server <url>", "address of a server, such as https://tenantplane.example:50051")
    .option("--key-file <file>", "file that holds the API key")
    .option("--ca-file <file>", "PEM certificates of a private authority to trust")
    .option("--json", "print JSON lines in the place of tables")
    .exitOverride()
    .configureHelp({ optionDescription })
    .helpCommand(false)
    .addHelpText("after", GLOBAL_HELP);
  program.commandsGroup("Server:");
  addServerCommands(program);
  addDoctorCommand(program);
  program.commandsGroup("Control plane:");
  addTenantCommands(program);
  addPlanCommands(program);
  addIntegratorCommands(program);
  addFlagCommands(program);
  addUserCommands(program);
  addMeterCommands(program);
  addQuotaCommands(program);
  addKeyCommands(program);
  addAuditCommands(program);
  addWatchCommand(program);
  program.commandsGroup("Other:");
  addDemoCommand(program);
  for (const command of program.commands) command.helpCommand(false);
  return program;
}

// That a flag is off and a text empty unless given goes without saying.
function optionDescription(option: Parameters<Help["optionDescription"]>[0]): string {
  return plainHelp.optionDescription(option).replace(/ ?\(default: (false|"")\)/, "");
}

const plainHelp = new Help();

// Loaded when they are used: a list of tenants needs neither Postgres nor Redis.
function addServerCommands(program: Command): void {
  program
    .command("serve")
    .description("Run a server node until Ctrl-C.")
    .addHelpText("after", `\nSettings are environment variables:\n${settingsTable().trimEnd()}`)
    .action(async () => (await import("./serve.ts")).serve("server"));
  program
    .command("worker")
    .description("Run background work alone, without RPCs, until Ctrl-C. Needs REDIS_URL.")
    .addHelpText("after", "\nSettings are those of `serve`. HTTP_PORT answers probes and metrics.")
    .action(async () => (await import("./serve.ts")).serve("worker"));
  program
    .command("migrate")
    .description("Bring the database of DATABASE_URL up to this release.")
    .action(async () => (await import("./migrate.ts")).migrateCommand());
}

function settingsTable(): string {
  const rows = Object.entries(SETTINGS).map(([name, setting]) => [
    `  ${name}`,
    setting.default ? `${setting.help} (default: ${setting.default})` : setting.help,
  ]);
  return tableText(rows);
}

const GLOBAL_HELP = `
Environment:
  TENANTPLANE_SERVER    as --server; else the node of this folder's settings
  TENANTPLANE_KEY       the API key itself; else, for a server on this machine, the first admin key of this folder
  TENANTPLANE_KEY_FILE  as --key-file
  TENANTPLANE_CA_FILE   as --ca-file

Data goes to standard output, everything else to standard error.
Exit codes: 0 done; 1 refused or failed, with a line that says why; 2 wrong usage; 130 stopped by Ctrl-C.

Examples:
  tenantplane tenants list --filter 'state = SUSPENDED'
  tenantplane --server https://tenantplane.example:50051 --key-file robot.key tenants get acme --json`;
