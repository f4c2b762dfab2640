import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { evaluateVector, makeVectors, type Vector } from "../support/flag-vectors.ts";

const FOLDER = "test/vectors/flags";

/** One vector a line, so that a change of one shows as one. */
function textOf({ about, vectors }: { about: string; vectors: readonly object[] }): string {
  const lines = vectors.map((vector) => `    ${JSON.stringify(vector)}`);
  return `{\n  "about": ${JSON.stringify(about)},\n  "vectors": [\n${lines.join(",\n")}\n  ]\n}\n`;
}

for (const [file, made] of Object.entries(makeVectors())) {
  describe(file, () => {
    const path = `${FOLDER}/${file}`;
    if (process.env.UPDATE === "1") writeFileSync(path, textOf(made));
    const kept = readFileSync(path, "utf8");

    it("is what its tables make", () => {
      const update = "UPDATE=1 npx vitest run test/evaluate/vectors.test.ts";
      expect(textOf(made), `${path} differs: if a table has changed, run ${update}`).toBe(kept);
    });

    const { vectors } = JSON.parse(kept) as { vectors: readonly (Vector & BucketVector)[] };
    for (const vector of vectors) {
      if (vector.evaluations !== undefined) {
        it(vector.name, () => {
          for (const { expect: expected, ...asked } of vector.evaluations) {
            const { problems, evaluation } = evaluateVector(vector.set, asked);
            expect({ problems, context: asked.context, evaluation }).toMatchObject({
              problems: [],
              evaluation: expected,
            });
          }
        });
      } else {
        it(`hashes ${JSON.stringify([vector.salt, vector.unit])}`, () => {
          const hash = plainHash(new TextEncoder().encode(vector.salt + vector.unit));
          expect(vector.hash).toBe(hash);
          for (const { total, bucket } of vector.buckets) {
            expect(BigInt(bucket)).toBe((BigInt(hash) * BigInt(total)) >> 32n);
          }
        });
      }
    }
  });
}

interface BucketVector {
  readonly salt: string;
  readonly unit: string;
  readonly hash: number;
  readonly buckets: readonly { readonly total: number; readonly bucket: number }[];
}

/** murmur3-x86-32 as it is described, a second time: in plain words of BigInt, block by block. */
function plainHash(bytes: Uint8Array): number {
  const u32 = (value: bigint) => value & 0xffff_ffffn;
  const rotate = (value: bigint, bits: bigint) => u32((value << bits) | (value >> (32n - bits)));
  const scramble = (block: bigint) => u32(rotate(u32(block * 0xcc9e_2d51n), 15n) * 0x1b87_3593n);
  let hash = 0n;
  for (let at = 0; at < bytes.length; at += 4) {
    const block = [...bytes.subarray(at, at + 4)].reduce(
      (sum, byte, place) => sum | (BigInt(byte) << BigInt(8 * place)),
      0n,
    );
    hash ^= scramble(block);
    if (at + 4 <= bytes.length) hash = u32(rotate(hash, 13n) * 5n + 0xe654_6b64n);
  }
  hash ^= BigInt(bytes.length);
  hash = u32((hash ^ (hash >> 16n)) * 0x85eb_ca6bn);
  hash = u32((hash ^ (hash >> 13n)) * 0xc2b2_ae35n);
  return Number(hash ^ (hash >> 16n));
}
