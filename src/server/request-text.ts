import type { DescMessage, Message } from "@bufbuild/protobuf";
import {
  isReflectList,
  isReflectMap,
  isReflectMessage,
  type ReflectMessage,
  reflect,
} from "@bufbuild/protobuf/reflect";

/**
 * What a request asks for as a text that is the same for the same content. Its bytes are not: many clients write the entries
 * of a map in a new order each time, so that a retry would look like another request. Its id is left out: it may be
 * written in capitals.
 */
export function requestText(desc: DescMessage, message: Message): string {
  const fields = plainMessage(reflect(desc, message));
  const id = desc.fields.find((field) => field.name === "request_id")?.number;
  return JSON.stringify(fields.filter(([number]) => number !== id));
}

function plainMessage(message: ReflectMessage): [number, unknown][] {
  return message.sortedFields
    .filter((field) => message.isSet(field))
    .map((field) => [field.number, plain(message.get(field))]);
}

function plain(value: unknown): unknown {
  if (typeof value === "bigint" || typeof value === "number") return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (typeof value !== "object" || value === null) return value;
  if (isReflectMessage(value)) return plainMessage(value);
  if (isReflectList(value)) return Array.from(value, plain);
  if (isReflectMap(value)) {
    return Array.from(value, ([key, entry]) => [String(key), plain(entry)] as const).sort(([a], [b]) =>
      a < b ? -1 : 1,
    );
  }
  return value;
}
