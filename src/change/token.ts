import { invalidField } from "../errors.ts";
import type { Position } from "./store.ts";

/** Writes a position as a token; `database` keeps it from being used on another one. It grants nothing. */
export function formatPosition(database: string, position: Position): string {
  return `${database}.${position.xid.toString(36)}.${position.seq.toString(36)}`;
}

/** Reads a token. Throws REVISION_INVALID on `field` when it is not one of this database. */
export function parsePosition(database: string, token: string, field: string): Position {
  const [, id, xid, seq] = /^([0-9a-f]{8})\.([0-9a-z]{1,13})\.([0-9a-z]{1,11})$/.exec(token) ?? [];
  if (id !== database || xid === undefined || seq === undefined) {
    throw invalidField(field, "is not a token of this database", "REVISION_INVALID");
  }
  return { xid: parseBase36(xid), seq: Number.parseInt(seq, 36) };
}

function parseBase36(text: string): bigint {
  let value = 0n;
  for (const digit of text) value = value * 36n + BigInt(Number.parseInt(digit, 36));
  return value;
}
