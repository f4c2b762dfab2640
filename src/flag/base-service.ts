import type { RegexCompiler } from "@tenantplane/sdk/evaluate";
import { cutPage, decodePageToken, encodePageToken, pageSize, type Seal } from "../aip/page.ts";
import { type Ctx, rowScope } from "../context.ts";
import { DomainError, notFound } from "../errors.ts";
import { type MutationDeps, remainingMs } from "../mutation.ts";
import { type Queryable, readAs } from "../platform/postgres.ts";
import { type Flag, flagName } from "./flag.ts";
import { selectUsers } from "./reference-store.ts";
import { selectFlag } from "./store.ts";

export interface FlagDeps extends MutationDeps {
  readonly seal: Seal;
  readonly regex: RegexCompiler;
}

/** The root of every write that is checked against other flags: a circle takes two writes that don't know of each other. */
export const FLAGS_ROOT = "flags";

/** One flag by its key. Throws RESOURCE_NOT_FOUND. */
export async function requireFlag(sql: Queryable, key: string): Promise<Flag> {
  const flag = await selectFlag(sql, key);
  if (!flag) throw notFound("Flag", flagName(key));
  return flag;
}

/** Throws HAS_DEPENDENTS when something refers to the resource. */
export async function requireUnused(
  sql: Queryable,
  kind: "flag" | "segment" | "group",
  key: string,
  name: string,
): Promise<void> {
  const users = await selectUsers(sql, kind, key, USERS_NAMED);
  if (users.length === 0) return;
  const preconditions = users.map((subject) => ({ type: "REFERENCE", subject, description: `refers to ${name}` }));
  const message = `${name} is in use, by ${users[0]}${users.length > 1 ? " and others" : ""}`;
  throw new DomainError("HAS_DEPENDENTS", message, { resource: name, dependent: users[0] ?? "" }, { preconditions });
}

/** What a list asks for. */
export interface PageInput {
  readonly pageSize: number;
  readonly pageToken: string;
}

/** What a deletion asks for. */
export interface Deletion {
  readonly key: string;
  readonly etag: string;
  readonly allowMissing: boolean;
}

/** Reads a page in the order of one text, which tells the rows apart. Throws PAGE_TOKEN_INVALID. */
export async function readPage<T>(
  deps: FlagDeps,
  ctx: Ctx,
  page: PageInput & {
    /** What else the query is made of: a token is good for the same query only. */
    readonly query: readonly unknown[];
    readonly select: (tx: Queryable, after: string, limit: number) => Promise<readonly T[]>;
    readonly key: (row: T) => string;
  },
): Promise<{ items: T[]; token: string }> {
  const size = pageSize(page.pageSize);
  const query = [ctx.method, ctx.principal.actor, ...page.query];
  const [after = ""] = decodePageToken(deps.seal, query, page.pageToken, deps.clock.now()) ?? [];
  const rows = await readFor(deps, ctx, (tx) => page.select(tx, String(after), size + 1));
  return cutPage(rows, size, (last) => encodePageToken(deps.seal, query, [page.key(last)], deps.clock.now()));
}

/** Reads what the caller may see, in one snapshot. */
export function readFor<T>(deps: FlagDeps, ctx: Ctx, fn: (tx: Queryable) => Promise<T>): Promise<T> {
  return readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), fn);
}

/** An error must fit into the trailers that carry it. */
const USERS_NAMED = 8;
