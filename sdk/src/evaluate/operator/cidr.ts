/** An address in groups of bits, the first group first: one of 32 bits for IPv4, eight of 16 for IPv6. */
export interface Address {
  readonly version: 4 | 6;
  readonly groups: readonly number[];
}

/** A block of addresses: those whose first `prefix` bits are the base's. */
export interface Block {
  readonly base: Address;
  readonly prefix: number;
}

/** Reads "10.0.0.0/8" or "2001:db8::/32"; an address alone is a block of one. Undefined when it is neither. */
export function parseBlock(text: string): Block | undefined {
  const [address = "", length, ...more] = text.split("/");
  const base = parseAddress(address);
  if (base === undefined || more.length > 0) return undefined;
  const bits = base.version === 4 ? 32 : 128;
  if (length === undefined) return { base, prefix: bits };
  // An IPv6 block of mapped IPv4 addresses has its prefix in bits of IPv6.
  const offset = base.version === 4 && address.includes(":") ? 96 : 0;
  if (!/^(0|[1-9]\d{0,2})$/.test(length)) return undefined;
  const prefix = Number(length) - offset;
  return prefix >= 0 && prefix <= bits ? { base, prefix } : undefined;
}

/** Reads an address in text form (RFC 4291, RFC 5952). "::ffff:1.2.3.4" is the IPv4 address that it stands for. */
export function parseAddress(text: string): Address | undefined {
  if (text.length > ADDRESS_MAX_CHARS) return undefined;
  if (!text.includes(":")) {
    const value = parseIpv4(text);
    return value === undefined ? undefined : { version: 4, groups: [value] };
  }
  const groups = parseIpv6(text);
  if (groups === undefined) return undefined;
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (!mapped) return { version: 6, groups };
  return { version: 4, groups: [(groups[6] ?? 0) * 0x1_0000 + (groups[7] ?? 0)] };
}

/** Whether the address is in the block. */
export function isInBlock(address: Address, block: Block): boolean {
  if (address.version !== block.base.version) return false;
  const groupBits = address.version === 4 ? 32 : 16;
  let left = block.prefix;
  for (let index = 0; left > 0; index += 1) {
    const ignored = 2 ** Math.max(0, groupBits - left);
    const a = Math.floor((address.groups[index] ?? 0) / ignored);
    if (a !== Math.floor((block.base.groups[index] ?? 0) / ignored)) return false;
    left -= groupBits;
  }
  return true;
}

/** The longest form, an IPv6 address that ends in an IPv4 one. */
const ADDRESS_MAX_CHARS = 45;

function parseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    // A leading zero is refused: some read it as octal.
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

function parseIpv6(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? "", halves.length === 1);
  const tail = parseGroups(halves[1] ?? "", true);
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  return [...head, ...new Array<number>(missing).fill(0), ...tail];
}

/** Groups joined by ":"; the last may be an IPv4 address, if these are an address's last groups. */
function parseGroups(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    const ipv4 = last && index === parts.length - 1 && part.includes(".") ? parseIpv4(part) : undefined;
    if (ipv4 !== undefined) groups.push(Math.floor(ipv4 / 0x1_0000), ipv4 % 0x1_0000);
    else if (/^[\da-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}
