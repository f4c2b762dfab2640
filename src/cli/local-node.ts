import { existsSync, readFileSync } from "node:fs";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { OperatorError } from "../platform/operator-error.ts";

/** Where the first admin key is kept, for the owner of the process alone. */
export function keyFileOf(config: Pick<Config, "DATA_FOLDER">): string {
  return join(config.DATA_FOLDER, "admin-key");
}

/** The address at which this machine reaches a listener of the node that the settings describe. */
export function localAddress(config: Pick<Config, "LISTEN_HOST" | "TLS_CERT_FILE">, port: number): string {
  const everywhere: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };
  const host = everywhere[config.LISTEN_HOST] ?? config.LISTEN_HOST;
  return `${config.TLS_CERT_FILE ? "https" : "http"}://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/** The text of a file that the user named or that belongs to this node; undefined when there is none. Throws OperatorError. */
export function readIfThere(file: string): string | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown";
    throw new OperatorError(`${file} can't be read (${code}): make it yours, or name another one.`);
  }
}
