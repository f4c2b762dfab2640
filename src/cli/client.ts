import { existsSync, readFileSync } from "node:fs";
import { type Clients, createClients } from "@tenantplane/sdk/web";
import type { Command } from "commander";
import { readConfig } from "../config.ts";
import { OperatorError } from "../platform/operator-error.ts";
import { keyFileOf } from "./serve.ts";

/** Clients for the server and key that the options, the environment or this folder name. Throws OperatorError. */
export function connect(command: Command): { clients: Clients; json: boolean } {
  const options = command.optsWithGlobals<{ server?: string; key?: string; json?: boolean }>();
  const config = readConfig();
  const scheme = config.TLS_CERT_FILE ? "https" : "http";
  const local = `${scheme}://${config.LISTEN_HOST}:${config.HTTP_PORT}`;
  const baseUrl = options.server ?? process.env.TENANTPLANE_SERVER ?? local;
  const file = keyFileOf(config);
  const kept = existsSync(file) ? readFileSync(file, "utf8").trim() : undefined;
  const apiKey = options.key ?? process.env.TENANTPLANE_KEY ?? kept;
  if (!apiKey) throw new OperatorError("No API key: give --key, or set TENANTPLANE_KEY.");
  return { clients: createClients({ baseUrl, apiKey }), json: options.json ?? false };
}

/** Reads page after page until `limit` items are there. */
export async function readPages<T>(
  limit: number,
  page: (pageSize: number, pageToken: string) => Promise<{ items: readonly T[]; nextPageToken: string }>,
): Promise<T[]> {
  const items: T[] = [];
  let token = "";
  do {
    const next = await page(Math.min(1_000, limit - items.length), token);
    items.push(...next.items);
    token = next.nextPageToken;
  } while (token !== "" && items.length < limit);
  return items;
}
