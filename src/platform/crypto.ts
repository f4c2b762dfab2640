import { createCipheriv, createDecipheriv, hash, randomBytes } from "node:crypto";

/** SHA-256 of a text or of bytes. */
export function sha256(data: string | Uint8Array): Uint8Array {
  return hash("sha256", data, "buffer");
}

/**
 * Seals texts by AES-256-GCM under a key that all nodes share: nobody else can read or change them. A token
 * opens only with the context that it was sealed with, which is not in it.
 */
export function createSeal(key: Uint8Array) {
  return {
    seal(text: string, context: string): string {
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(Buffer.from(context));
      return Buffer.concat([iv, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]).toString(
        "base64url",
      );
    },
    open(token: string, context: string): string | undefined {
      const bytes = Buffer.from(token.slice(0, TOKEN_MAX_CHARACTERS), "base64url");
      if (bytes.length < IV_BYTES + TAG_BYTES) return undefined;
      const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, IV_BYTES));
      decipher.setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(-TAG_BYTES));
      try {
        return decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES), undefined, "utf8") + decipher.final("utf8");
      } catch {
        return undefined;
      }
    },
  };
}

const IV_BYTES = 12;
const TAG_BYTES = 16;
/** The longest token we make, of four order terms, is shorter. */
const TOKEN_MAX_CHARACTERS = 8_192;
