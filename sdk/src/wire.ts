// What SDK and server share to write and read messages by hand where they come in great numbers. Not part of the SDK's
// promises.
import { create, type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import type { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** Bytes of messages that need not be encoded: made by hand, received as they are, or sent many times. */
const bytes = new WeakMap<object, Uint8Array>();

/** Remembers a message's bytes; the message must not change any more. */
export function rememberBytes(message: object, encoded: Uint8Array): void {
  bytes.set(message, encoded);
}

/** A message's bytes, if they are remembered. */
export function bytesOf(message: object): Uint8Array | undefined {
  return bytes.get(message);
}

/** A message that is its bytes: they are decoded when somebody looks at a field. */
export function messageOf<D extends DescMessage>(desc: D, encoded: Uint8Array): MessageShape<D> {
  const message = create(desc);
  let decoded: Record<string, unknown> | undefined;
  const get = (name: string) => {
    decoded ??= fromBinary(desc, encoded) as unknown as Record<string, unknown>;
    return decoded[name];
  };
  for (const { localName } of desc.members) {
    Object.defineProperty(message, localName, { get: () => get(localName), enumerable: true, configurable: true });
  }
  bytes.set(message, encoded);
  return message;
}

/** How a field of a number, a boolean or an enum begins on the wire. */
export function varint(field: number): number {
  return field << 3;
}

/** How a field of a text or a message begins on the wire; its length follows. */
export function delimited(field: number): number {
  return (field << 3) | 2;
}

/** Where the text or message ends whose length comes next. */
export function endOf(reader: BinaryReader): number {
  return reader.uint32() + reader.pos;
}

/** Leaves out a field that began so. */
export function skip(reader: BinaryReader, tag: number): void {
  reader.skip((tag & 7) as WireType, tag >>> 3);
}
