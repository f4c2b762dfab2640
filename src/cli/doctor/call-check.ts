import { ConnectError } from "@connectrpc/connect";
import { createClients } from "@tenantplane/sdk";
import { OperatorError } from "../../platform/operator-error.ts";
import { explain, type GlobalOptions, reach } from "../client.ts";
import { type Finding, fail, ok, skip } from "./finding.ts";

/** Longer than a healthy server takes, shorter than a person waits. */
const ANSWER_TIMEOUT_MS = 5_000;

/** Checks that the server which commands would call answers, and takes the key that they would send. */
export async function checkCall(options: GlobalOptions, isExpected: boolean): Promise<Finding> {
  const check = "call";
  let way: ReturnType<typeof reach>;
  try {
    way = reach(options);
  } catch (error) {
    if (error instanceof OperatorError) return skip(check, error.message);
    throw error;
  }
  const { server, apiKey, ca } = way;
  if (!isExpected) return skip(check, `nothing is expected at ${server}`);
  const tls = ca === undefined ? {} : { tls: { ca } };
  const clients = createClients({ address: server, apiKey, defaultTimeoutMs: ANSWER_TIMEOUT_MS, ...tls });
  try {
    await clients.access.testPermissions({ resource: "platform" });
    return ok(check, `${server} answers and takes the key`);
  } catch (error) {
    if (error instanceof ConnectError) return fail(check, explain(error, server));
    throw error;
  } finally {
    clients.close();
  }
}
