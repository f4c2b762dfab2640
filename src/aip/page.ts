import { invalidField } from "../errors.ts";

/** Makes tokens that callers can neither read nor change, and that open only in the context they were sealed in. */
export interface Seal {
  seal(text: string, context: string): string;
  /** Undefined for anything that was not sealed by it in this context. */
  open(token: string, context: string): string | undefined;
}

/** 50 fits a screen; 1,000 rows are a few hundred kilobytes. */
const PAGE_SIZE_DEFAULT = 50;
const PAGE_SIZE_MAX = 1_000;
/** Long enough for a slow export, short enough that columns of old tokens need no care for ever. */
const PAGE_TOKEN_LIFE_MS = 3 * 24 * 3_600_000;

/** The page size to use: the default for 0, the maximum for more than it. Throws INVALID_FIELDS when negative. */
export function pageSize(requested: number): number {
  if (requested < 0) throw invalidField("page_size", "must not be negative");
  return requested === 0 ? PAGE_SIZE_DEFAULT : Math.min(requested, PAGE_SIZE_MAX);
}

/** Where a list goes on. */
export type PagePosition = readonly (string | number | null)[];

/** A token for the next page of the query that `query` describes; only the same query can use it. */
export function encodePageToken(seal: Seal, query: unknown, position: PagePosition, now: number): string {
  const page: SealedPage = { position, expiresAt: now + PAGE_TOKEN_LIFE_MS };
  return seal.seal(JSON.stringify(page), contextOf(query));
}

/** The position in a token; undefined for the first page. Throws PAGE_TOKEN_INVALID for a foreign or old token. */
export function decodePageToken(seal: Seal, query: unknown, token: string, now: number): PagePosition | undefined {
  if (token === "") return undefined;
  const text = seal.open(token, contextOf(query));
  const parsed = text === undefined ? undefined : (JSON.parse(text) as SealedPage);
  if (!parsed || parsed.expiresAt < now) {
    throw invalidField("page_token", "is not a token of this query, or too old: start again", "PAGE_TOKEN_INVALID");
  }
  return parsed.position;
}

interface SealedPage {
  position: PagePosition;
  expiresAt: number;
}

// Only the position is in the token: with the longest filter in it, too, it would be too long to send back.
function contextOf(query: unknown): string {
  return `page of ${JSON.stringify(query)}`;
}

/** Cuts one row more than the page, read to know whether there is a next one. */
export function cutPage<T>(rows: readonly T[], size: number, next: (last: T) => string): { items: T[]; token: string } {
  const items = rows.slice(0, size);
  const last = items.at(-1);
  return { items, token: rows.length > size && last ? next(last) : "" };
}
