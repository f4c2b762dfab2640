/** Two to the power of 32: how many hashes there are. */
const HASHES = 4_294_967_296;

/** Which of `total` equal buckets a hash falls into: (hash * total) >> 32, exact for totals below 2^32. */
export function bucketOf(hash: number, total: number): number {
  // The product has up to 64 bits and a number only 53: the halves of the hash are multiplied apart.
  const low = Math.floor(((hash & 0xffff) * total) / 0x1_0000);
  return Math.floor(((hash >>> 16) * total + low) / 0x1_0000);
}

/** The least hash whose bucket is not below `bucket`: comparing hashes with it spares the multiplication per evaluation. */
export function firstHashOf(bucket: number, total: number): number {
  if (bucket >= total) return HASHES;
  return Number((BigInt(bucket) * BigInt(HASHES) + BigInt(total) - 1n) / BigInt(total));
}
