import { Command } from "commander";
import { serve } from "./serve.ts";

/** Runs the command line. */
export async function runCli(args: readonly string[]): Promise<void> {
  const program = new Command("tenantplane").description("The tenant control plane: server and operator's tool.");
  program.command("serve").description("Run a server node.").action(serve);
  await program.parseAsync([...args], { from: "user" });
}
