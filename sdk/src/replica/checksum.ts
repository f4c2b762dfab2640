import { type HashState, hashText } from "../evaluate/compile/murmur3.ts";
import type { DocumentKind } from "./piece.ts";

/** Two hashes, of which exclusive ors are taken. */
export interface Checksum {
  high: number;
  low: number;
}

/** Two hashes of a document: murmur3-x86-32 of the UTF-8 bytes of kind, key and JSON, with line feeds between, for the seeds 0 and 1. */
export function hashOf(kind: DocumentKind | "member", key: string, content: string): Checksum {
  const text = `${kind}\n${key}\n${content}`;
  return { high: hashText(SEED_0, text), low: hashText(SEED_1, text) };
}

/** Two hashes of a member of a segment's list. */
export function hashOfMember(segment: string, key: string, excluded: boolean): Checksum {
  return hashOf("member", segment, `${excluded ? "-" : "+"}${key}`);
}

/** Takes something into a checksum or, since it is there, out of it. */
export function toggle(sum: Checksum, part: Checksum): void {
  sum.high ^= part.high;
  sum.low ^= part.low;
}

/** A checksum as the stream has it: 16 hexadecimal digits. */
export function formatChecksum({ high, low }: Checksum): string {
  return [high, low].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
}

const SEED_0: HashState = { hash: 0, tail: 0, tailBits: 0, bytes: 0 };
const SEED_1: HashState = { hash: 1, tail: 0, tailBits: 0, bytes: 0 };

/** Whether two checksums are the same; none is that of nothing. */
export function sameChecksum(a: Checksum, b: Checksum | undefined): boolean {
  return a.high === (b?.high ?? 0) && a.low === (b?.low ?? 0);
}
