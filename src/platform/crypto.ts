import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto";

/** SHA-256 of a text or of bytes. */
export function sha256(data: string | Uint8Array): Uint8Array {
  return hash("sha256", data, "buffer");
}

/** A UUID that stands for a text: the first 128 bits of its SHA-256. */
export function uuidOf(text: string): string {
  const digits = hash("sha256", text, "hex");
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-${digits.slice(12, 16)}-${digits.slice(16, 20)}-${digits.slice(20, 32)}`;
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

/** HMAC-SHA256 of a text, in base64. */
export function hmacSha256(key: Uint8Array, text: string): string {
  return createHmac("sha256", key).update(text).digest("base64");
}

/** A new Ed25519 key pair: the private half in PKCS #8 and the raw public one, both in base64. */
export function createEd25519(): { privateKey: string; publicKey: string } {
  const pair = generateKeyPairSync("ed25519");
  return {
    privateKey: pair.privateKey.export({ type: "pkcs8", format: "der" }).toString("base64"),
    publicKey: rawPublic(pair.publicKey),
  };
}

/** Signs a text by a private key of `createEd25519`; the signature in base64. */
export function signEd25519(privateKey: string, text: string): string {
  const key = createPrivateKey({ key: Buffer.from(privateKey, "base64"), type: "pkcs8", format: "der" });
  return sign(null, Buffer.from(text), key).toString("base64");
}

// SPKI ends with the 32 bytes of the key itself.
function rawPublic(key: KeyObject): string {
  return key.export({ type: "spki", format: "der" }).subarray(-32).toString("base64");
}
