import { runCli } from "./cli/cli.ts";

// A closed pipe is told to whoever writes to it; without a listener it would end the process with a stack.
process.stdout.on("error", () => {});
process.exitCode = await runCli(process.argv.slice(2));
