import { Code, ConnectError } from "@connectrpc/connect";
import { type Clients, createClients, fieldViolations, reasonOf } from "@tenantplane/sdk";
import type { Command } from "commander";
import { readConfig } from "../config.ts";
import { OperatorError } from "../platform/operator-error.ts";
import { keyFileOf, localAddress, readIfThere } from "./local-node.ts";
import { printable } from "./output.ts";

/** A command's way to the server. */
export interface Session {
  readonly clients: Clients;
  readonly server: string;
  /** Print JSON lines in the place of a table. */
  readonly json: boolean;
}

/** The options that every command has. */
export interface GlobalOptions {
  readonly server?: string;
  readonly keyFile?: string;
  readonly caFile?: string;
  readonly json?: boolean;
}

/** Makes the action of a command that calls the server: connects, runs, closes. Refused calls become OperatorErrors. */
export function online<A extends unknown[]>(run: (session: Session, ...args: A) => Promise<unknown>) {
  return async (...args: unknown[]): Promise<void> => {
    const command = args.at(-1) as Command;
    const options = command.optsWithGlobals<GlobalOptions>();
    const { server, apiKey, ca } = reach(options);
    const clients = createClients({ address: server, apiKey, ...(ca === undefined ? {} : { tls: { ca } }) });
    try {
      await run({ clients, server, json: options.json ?? false }, ...(args.slice(0, -1) as A));
    } catch (error) {
      throw error instanceof ConnectError ? new OperatorError(explain(error, server)) : error;
    } finally {
      clients.close();
    }
  };
}

/** Whether what a call reads is there. Throws what else it is refused with. */
export function isThere(read: Promise<unknown>): Promise<boolean> {
  return read.then(
    () => true,
    (error: unknown) => {
      if (reasonOf(error) === "RESOURCE_NOT_FOUND") return false;
      throw error;
    },
  );
}

/** The server and the key that the options, the environment or this folder name. Throws OperatorError. */
export function reach(options: GlobalOptions): { server: string; apiKey: string; ca: string | undefined } {
  const config = readConfig();
  const named = options.server ?? process.env.TENANTPLANE_SERVER;
  const server = named ?? localAddress(config, config.GRPC_PORT);
  if (!URL.canParse(server) || !/^https?:$/.test(new URL(server).protocol)) {
    throw new OperatorError(`--server must be "http://host:port" or "https://host:port", not ${printable(server)}`);
  }
  const caFile = options.caFile ?? process.env.TENANTPLANE_CA_FILE;
  const ca = caFile === undefined ? undefined : requireFile(caFile);
  // The key of this folder's node is nobody else's business.
  const isLocal = named === undefined || /^(localhost|127(\.\d+){3}|\[::1\])$/.test(new URL(server).hostname);
  return { server, apiKey: findKey(options, isLocal ? keyFileOf(config) : undefined), ca };
}

function findKey(options: GlobalOptions, localKeyFile: string | undefined): string {
  if (options.keyFile !== undefined) return requireFile(options.keyFile).trim();
  const { TENANTPLANE_KEY: key, TENANTPLANE_KEY_FILE: keyFile } = process.env;
  if (key) return key;
  if (keyFile) return requireFile(keyFile).trim();
  const kept = localKeyFile === undefined ? undefined : readIfThere(localKeyFile)?.trim();
  if (!kept) throw new OperatorError("No API key: set TENANTPLANE_KEY, or name a file that holds one with --key-file.");
  return kept;
}

function requireFile(file: string): string {
  const text = readIfThere(file);
  if (text === undefined) throw new OperatorError(`${file} does not exist.`);
  return text;
}

/** What a refused call says to a person, in one line. */
export function explain(error: ConnectError, server: string): string {
  const known = reasonOf(error) !== undefined;
  if (!known && error.code === Code.Unavailable) {
    const cause = /Last error: (?:Error: )?(.*?)\. Resolution note/.exec(error.rawMessage)?.[1];
    return `No server answers at ${server}${cause ? ` (${cause})` : ""}: start one with \`npm start\`, or name it with --server.`;
  }
  if (!known && error.code === Code.DeadlineExceeded) return `The server at ${server} did not answer in time.`;
  const fields = fieldViolations(error).map(({ field, description }) => `${field} ${description}`);
  return printable(fields.length > 0 ? fields.join("; ") : error.rawMessage);
}
