/**
 * The state of murmur3-x86-32 after some text. Hashing a salt once and going on from there for each unit gives the hash of
 * salt + unit without joining them.
 */
export interface HashState {
  readonly hash: number;
  /** The bytes that don't fill a block of four yet, the first in the lowest place, and their number of bits. */
  readonly tail: number;
  readonly tailBits: number;
  readonly bytes: number;
}

/** Nothing hashed yet, with seed 0. */
export const HASH_START: HashState = { hash: 0, tail: 0, tailBits: 0, bytes: 0 };

/** The state after the UTF-8 bytes of further text. */
export function hashFurther(from: HashState, text: string): HashState {
  let { hash, tail, tailBits, bytes } = from;
  for (let index = 0; index < text.length; index += 1) {
    let code = text.charCodeAt(index);
    let size = 1;
    if (code >= 0x80) {
      const point = text.codePointAt(index) ?? 0;
      if (point > 0xffff) index += 1;
      code = utf8(point);
      size = point < 0x800 ? 2 : point < 0x1_0000 ? 3 : 4;
    }
    bytes += size;
    for (; size > 0; size -= 1) {
      tail |= (code & 0xff) << tailBits;
      code >>>= 8;
      tailBits += 8;
      if (tailBits === 32) {
        hash = mixBlock(hash, tail);
        tail = 0;
        tailBits = 0;
      }
    }
  }
  return { hash, tail, tailBits, bytes };
}

/** The hash of the state's text and the given one, as an unsigned number of 32 bits. */
export function hashText(from: HashState, text: string): number {
  const end = text.length;
  let hash = from.hash;
  let tail = from.tail;
  let tailBits = from.tailBits;
  let index = 0;
  let seen = 0;
  // To the end of the block that the state has begun, then whole blocks, then the rest: all as long as it is ASCII.
  for (; tailBits > 0 && index < end; index += 1) {
    const code = text.charCodeAt(index);
    seen |= code;
    tail |= code << tailBits;
    tailBits = (tailBits + 8) & 31;
    if (tailBits === 0) {
      hash = mixBlock(hash, tail);
      tail = 0;
    }
  }
  for (; index + 4 <= end; index += 4) {
    const a = text.charCodeAt(index);
    const b = text.charCodeAt(index + 1);
    const c = text.charCodeAt(index + 2);
    const d = text.charCodeAt(index + 3);
    seen |= a | b | c | d;
    hash = mixBlock(hash, a | (b << 8) | (c << 16) | (d << 24));
  }
  for (; index < end; index += 1) {
    const code = text.charCodeAt(index);
    seen |= code;
    tail |= code << tailBits;
    tailBits += 8;
  }
  if (seen >= 0x80) return finish(hashFurther(from, text));
  return mixEnd(hash, tail, from.bytes + end);
}

function finish(state: HashState): number {
  return mixEnd(state.hash, state.tail, state.bytes);
}

/** The bytes of a code point beyond ASCII, the first in the lowest place. Half a surrogate pair becomes U+FFFD, as in a TextEncoder. */
function utf8(point: number): number {
  if (point < 0x800) return 0x80c0 | (point >> 6) | ((point & 0x3f) << 8);
  if (point < 0x1_0000) {
    const whole = point >= 0xd800 && point <= 0xdfff ? 0xfffd : point;
    return 0x80_80e0 | (whole >> 12) | (((whole >> 6) & 0x3f) << 8) | ((whole & 0x3f) << 16);
  }
  const low = 0x80f0 | (point >> 18) | (((point >> 12) & 0x3f) << 8);
  return low | ((0x80 | ((point >> 6) & 0x3f)) << 16) | ((0x80 | (point & 0x3f)) << 24);
}

function mixTail(tail: number): number {
  let block = Math.imul(tail, 0xcc9e2d51);
  block = (block << 15) | (block >>> 17);
  return Math.imul(block, 0x1b873593);
}

function mixBlock(hash: number, block: number): number {
  const mixed = hash ^ mixTail(block);
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

/** An empty tail mixes to 0, so it needs no case of its own. */
function mixEnd(hash: number, tail: number, bytes: number): number {
  let mixed = hash ^ mixTail(tail) ^ bytes;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
