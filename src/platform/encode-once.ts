/** Bytes of messages that are sent many times: a cached read, or one change to a thousand watchers. */
const bytes = new WeakMap<object, Uint8Array>();

/** Remembers a message's bytes; the message must not change any more. */
export function rememberBytes(message: object, encoded: Uint8Array): void {
  bytes.set(message, encoded);
}

/** A message's bytes, if they were remembered. */
export function bytesOf(message: object): Uint8Array | undefined {
  return bytes.get(message);
}
