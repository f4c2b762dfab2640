import { runCli } from "./cli/cli.ts";
import { OperatorError } from "./platform/operator-error.ts";

runCli(process.argv.slice(2)).catch((error: unknown) => {
  const known = error instanceof OperatorError;
  process.stderr.write(
    `${known ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exitCode = 1;
});
