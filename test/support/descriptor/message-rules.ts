import type { DescEnum, DescField, DescMessage } from "@bufbuild/protobuf";
import { type Finding, fieldOf, findings, typeOf } from "./finding.ts";

/** The rules of AIP 126, 140 to 142, 148, 203 and 216 for one message; `commentOf` gives a field's leading comment. */
export function checkMessage(
  message: DescMessage,
  isResource: boolean,
  commentOf: (field: DescField) => string,
): Finding[] {
  return [
    ...message.fields.flatMap((field) => checkField(field, `${message.name}.${field.name}`)),
    ...(isResource ? checkResource(message, commentOf) : []),
  ];
}

/** Enums stand in the message that they are part of. */
export function checkEnum(enumeration: DescEnum): Finding[] {
  return findings(enumeration.name, [
    ["216", enumeration.parent, "move it into the message that it is part of"],
    ["126", enumeration.values[0]?.name.endsWith("_UNSPECIFIED"), "its first value is …_UNSPECIFIED = 0"],
  ]);
}

/** What a field of such a name is, wherever it stands. */
const TYPES: Readonly<Record<string, string>> = {
  name: "string",
  parent: "string",
  uid: "string",
  display_name: "string",
  etag: "string",
  request_id: "string",
  validate_only: "bool",
  allow_missing: "bool",
  force: "bool",
  show_deleted: "bool",
  filter: "string",
  order_by: "string",
  page_size: "int32",
  page_token: "string",
  next_page_token: "string",
  total_size: "int32",
  resume_token: "string",
  update_mask: "google.protobuf.FieldMask",
  read_mask: "google.protobuf.FieldMask",
  labels: "map",
  ttl: "google.protobuf.Duration",
};

const TIMESTAMP = "google.protobuf.Timestamp";
const DURATION = "google.protobuf.Duration";

function checkField(field: DescField, subject: string): Finding[] {
  const { name } = field;
  const type = typeOf(field);
  const element = field.fieldKind === "map" ? (field.message?.typeName ?? "") : type;
  const wanted = Object.hasOwn(TYPES, name) ? TYPES[name] : undefined;
  return findings(subject, [
    ["140", wanted === undefined || type === wanted, `a field of this name is ${wanted}`],
    ["140", field.fieldKind !== "list" || /s$/.test(name), "a repeated field has a name in the plural"],
    ["140", type !== "bool" || !name.startsWith("is_"), 'leave "is_" out of its name'],
    ["141", !/^u?fixed|^uint/.test(type), "use int32 or int64: not all languages have unsigned numbers"],
    ["142", element !== TIMESTAMP || /(^|_)times?$/.test(name), 'an instant has a name that ends in "_time"'],
    ["142", !/_time$/.test(name) || type === TIMESTAMP, `a field that ends in "_time" is ${TIMESTAMP}`],
    ["142", type === DURATION || !UNITS.test(name), `use ${DURATION} and leave the unit out of the name`],
    ["142", type !== DURATION || !UNITS.test(name), "leave the unit out of the name"],
  ]);
}

const UNITS = /_(ns|nanos|us|micros|ms|millis|milliseconds|s|secs?|seconds|mins?|minutes|hours|days)$/;
const OUTPUT_ONLY = /^(uid|state|epoch|reconciling|(create|update|delete|purge|revoke|last_used)_time)$/;

function checkResource(message: DescMessage, commentOf: (field: DescField) => string): Finding[] {
  const [first] = message.fields;
  const state = fieldOf(message, "state")?.enum;
  const output = message.fields.filter(({ name }) => OUTPUT_ONLY.test(name));
  return [
    ...findings(message.name, [
      ["148", first?.name === "name" && first.number === 1, "a resource starts with `string name = 1`"],
      [
        "122",
        first && /"[a-zA-Z]+\/\{[a-z]+\}/.test(commentOf(first)),
        'say its form: // Resource name, "things/{thing}".',
      ],
      ["216", !state || (state.parent === message && state.name === "State"), "`state` is an enum State within it"],
    ]),
    ...output.flatMap((field) =>
      findings(`${message.name}.${field.name}`, [
        ["203", commentOf(field).startsWith("Output only."), 'begin its comment with "Output only."'],
      ]),
    ),
  ];
}
