import { type DescMessage, type DescMethod, getOption } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Level } from "@bufbuild/protobuf/wkt";
import { access, AccessRule_Target as Target } from "@tenantplane/sdk/gen/tenantplane/v1/options_pb";
import { ROLES } from "../../../src/auth/permission.ts";
import { type Finding, fieldOf, findings, subjectOf, typeOf } from "./finding.ts";

/** The rules of AIP 131 to 136, 154, 155, 158, 163, 164, 231 and our access rule, for one RPC of a service. */
export function checkMethod(method: DescMethod, resources: ReadonlyMap<string, DescMessage>): Finding[] {
  const [, verb = "", noun = ""] = /^(BatchGet|[A-Z][a-z]+)(.*)$/.exec(method.name) ?? [];
  const standard = STANDARD[verb];
  return [
    ...checkName(method, noun),
    ...checkAccess(method),
    ...(isRead(method) ? checkRead(method, verb) : checkWrite(method, verb)),
    ...(standard ? standard(method, noun, resources) : checkCustom(method)),
  ];
}

/** The resource that an answer holds: its first field, when that is a message with a name. */
export function answered(method: DescMethod): DescMessage | undefined {
  const message = method.output.fields[0]?.message;
  return message && fieldOf(message, "name") ? message : undefined;
}

function isRead(method: DescMethod): boolean {
  return method.idempotency === Level.NO_SIDE_EFFECTS;
}

const READS = /^(Get|BatchGet|List|Watch|Export|Query|Search|Test|Evaluate|Explain|Preview|Diff|Verify)$/;
const WRITES = /^(Create|Update|Delete|Undelete|Purge)$/;
const PREPOSITIONS = /(?:^|[a-z])(For|With|By|At|From|To|Of|On|In|After|Before|Between|Over|Under)(?=[A-Z]|$)/;

function checkName(method: DescMethod, noun: string): Finding[] {
  return findings(subjectOf(method), [
    ["136", noun !== "", "name it verb and noun, such as SuspendTenant"],
    ["136", !PREPOSITIONS.test(method.name), "leave the preposition out of the name; it belongs into a field"],
  ]);
}

function checkRead(method: DescMethod, verb: string): Finding[] {
  const has = (name: string) => fieldOf(method.input, name);
  return findings(subjectOf(method), [
    ["131", !WRITES.test(verb), "a write must not be NO_SIDE_EFFECTS"],
    ["155", !has("request_id") && !has("validate_only"), "a read takes neither request_id nor validate_only"],
  ]);
}

function checkWrite(method: DescMethod, verb: string): Finding[] {
  const has = (name: string) => fieldOf(method.input, name);
  // The messages of a client's stream carry ids of their own.
  const streamed = method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";
  return findings(subjectOf(method), [
    [
      "131",
      !READS.test(verb),
      "add `option idempotency_level = NO_SIDE_EFFECTS;`, or choose a verb that says what it writes",
    ],
    ["155", streamed || has("request_id"), "add `string request_id`: it makes a retry safe"],
    ["163", streamed || has("validate_only"), "add `bool validate_only`: check everything, write nothing"],
  ]);
}

function checkAccess(method: DescMethod): Finding[] {
  const { permission, target, field } = getOption(method, access);
  const [head = "", tail] = field.split(".");
  const first = fieldOf(method.input, head);
  const named = tail === undefined ? first : fieldOf(first?.message, tail);
  const needsField = target === Target.TENANT || target === Target.INTEGRATOR;
  const roles = Object.values(ROLES).some((role) => (role.permissions as ReadonlySet<string>).has(permission));
  return findings(subjectOf(method), [
    ["access", target !== Target.UNSPECIFIED, "declare `option (access) = {permission: …, target: …}`"],
    [
      "access",
      /^[a-z][A-Za-z]*\.[a-z][A-Za-z]*$/.test(permission),
      'give it a permission of the form "<nouns>.<verb>"',
    ],
    ["access", roles, `no role has the permission ${permission}: add it in auth/permission.ts`],
    ["access", !needsField || typeOf(named) === "string", `its target needs a string field; "${field}" is none`],
    ["access", needsField || field === "", "only the targets TENANT and INTEGRATOR take a field"],
  ]);
}

type Rule = (method: DescMethod, noun: string, resources: ReadonlyMap<string, DescMessage>) => Finding[];

const STANDARD: Readonly<Record<string, Rule>> = {
  Get: (method, noun, resources) =>
    findings(subjectOf(method), [
      ["131", isFirst(method.input, "name"), "its request starts with `string name = 1`"],
      ["131", answered(method)?.name === noun, `it answers \`${noun}\`, as the first field of its response`],
      ["131", resources.get(noun), `there is no resource ${noun}: its message starts with \`string name = 1\``],
    ]),

  BatchGet: (method) => {
    const names = fieldOf(method.input, "names") ?? fieldOf(method.input, "requests");
    return findings(subjectOf(method), [
      ["231", names?.fieldKind === "list", "it takes `repeated string names` or `repeated Get…Request requests`"],
      ["231", method.output.fields[0]?.fieldKind === "list", "it answers the resources as its first, repeated field"],
    ]);
  },

  List: (method) => {
    const [items] = method.output.fields;
    const resource = items?.message;
    const has = (name: string) => fieldOf(method.input, name);
    return findings(subjectOf(method), [
      ["132", items?.fieldKind === "list" && resource, "it answers its items first: a repeated message as field 1"],
      [
        "132",
        !items || pluralOf(resource?.name ?? "").endsWith(items.name),
        `call the items ${pluralOf(resource?.name ?? "")}`,
      ],
      ["132", method.methodKind === "unary", "a list is not a stream: call it Export or Watch"],
      ["158", has("page_size") && has("page_token"), "add `int32 page_size` and `string page_token`"],
      ["158", fieldOf(method.output, "next_page_token"), "add `string next_page_token` to its response"],
      [
        "164",
        !fieldOf(resource, "delete_time") || has("show_deleted"),
        "add `bool show_deleted`: its items are deleted softly",
      ],
    ]);
  },

  Create: (method, noun, resources) =>
    findings(subjectOf(method), [
      [
        "133",
        typeOf(fieldOf(method.input, snake(noun))).endsWith(`.${noun}`),
        `its request holds \`${noun} ${snake(noun)}\``,
      ],
      ["133", answered(method)?.name === noun, `it answers \`${noun}\`, as the first field of its response`],
      ["133", fieldOf(resources.get(noun), "create_time"), `${noun} needs \`google.protobuf.Timestamp create_time\``],
    ]),

  Update: (method, noun, resources) =>
    findings(subjectOf(method), [
      ["134", isFirst(method.input, snake(noun)), `its request starts with \`${noun} ${snake(noun)} = 1\``],
      ["134", fieldOf(method.input, "update_mask"), "add `google.protobuf.FieldMask update_mask`"],
      ["134", !fieldOf(method.input, "name"), "the name is in the resource"],
      ["134", answered(method)?.name === noun, `it answers \`${noun}\`, as the first field of its response`],
      ["148", fieldOf(resources.get(noun), "update_time"), `${noun} needs \`google.protobuf.Timestamp update_time\``],
      ["154", fieldOf(resources.get(noun), "etag"), `${noun} needs \`string etag\`, which guards the write`],
    ]),

  Delete: (method, noun, resources) => {
    const resource = resources.get(noun);
    const soft = fieldOf(resource, "delete_time");
    return findings(subjectOf(method), [
      ["135", isFirst(method.input, "name"), "its request starts with `string name = 1`"],
      ["135", fieldOf(method.input, "allow_missing"), "add `bool allow_missing`"],
      [
        "154",
        !fieldOf(resource, "etag") || fieldOf(method.input, "etag"),
        "add `string etag`: it deletes what was read",
      ],
      ["164", !soft || answered(method)?.name === noun, "a soft delete answers the resource"],
      ["135", soft || method.output.fields.length === 0, "it answers nothing: nothing is left"],
    ]);
  },

  Undelete: (method, noun, resources) =>
    findings(subjectOf(method), [
      ...resourceStep(method),
      ["164", fieldOf(resources.get(noun), "delete_time"), `${noun} needs \`google.protobuf.Timestamp delete_time\``],
      ["164", fieldOf(resources.get(noun), "purge_time"), `${noun} needs \`google.protobuf.Timestamp purge_time\``],
    ]),

  Watch: (method) =>
    findings(subjectOf(method), [
      ["watch", method.methodKind === "server_streaming", "a watch answers a stream"],
      ["watch", fieldOf(method.input, "resume_token"), "add `string resume_token` to its request"],
      ["watch", fieldOf(method.output, "resume_token"), "add `string resume_token` to its messages"],
    ]),

  Export: (method) =>
    findings(subjectOf(method), [["export", method.methodKind === "server_streaming", "an export answers a stream"]]),
};

function checkCustom(method: DescMethod): Finding[] {
  return isRead(method) || !fieldOf(method.input, "name") ? [] : findings(subjectOf(method), resourceStep(method));
}

// A custom write on a resource is guarded by that resource's tag.
function resourceStep(method: DescMethod): [string, unknown, string][] {
  const guarded = fieldOf(answered(method), "etag");
  return [
    ["136", isFirst(method.input, "name"), "its request starts with `string name = 1`"],
    ["154", !guarded || fieldOf(method.input, "etag"), "add `string etag`: it changes what was read"],
  ];
}

function isFirst(message: DescMessage, name: string): boolean {
  return fieldOf(message, name)?.number === 1;
}

function snake(name: string): string {
  return name.replace(/(?<=[a-z0-9])([A-Z])/g, "_$1").toLowerCase();
}

function pluralOf(name: string): string {
  return snake(name)
    .replace(/(?<![aeo])y$/, "ie")
    .concat("s");
}
