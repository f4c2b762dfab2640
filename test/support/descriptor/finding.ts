import type { DescField, DescMessage, DescMethod } from "@bufbuild/protobuf";

/** Something in the protos that breaks a rule, and what to do about it. */
export interface Finding {
  /** The rule, by the number of its AIP. */
  readonly rule: string;
  /** "TenantService.GetTenant" or "Tenant.create_time". */
  readonly subject: string;
  readonly remedy: string;
}

/** A finding for each rule that does not hold; `holds` may be anything true or false. */
export function findings(subject: string, rules: readonly [rule: string, holds: unknown, remedy: string][]): Finding[] {
  return rules.filter(([, holds]) => !holds).map(([rule, , remedy]) => ({ rule, subject, remedy }));
}

export function fieldOf(message: DescMessage | undefined, name: string): DescField | undefined {
  return message?.fields.find((field) => field.name === name);
}

/** The type of a field as proto writes it: "string", "google.protobuf.Timestamp", "tenantplane.v1.Tenant". */
export function typeOf(field: DescField | undefined): string {
  if (!field) return "nothing";
  if (field.fieldKind === "map") return "map";
  const { message, enum: enumeration } = field;
  return message?.typeName ?? enumeration?.typeName ?? SCALARS[field.scalar ?? 0] ?? "unknown";
}

// By the numbers of google.protobuf.FieldDescriptorProto.Type.
const SCALARS: Readonly<Record<number, string>> = {
  1: "double",
  2: "float",
  3: "int64",
  4: "uint64",
  5: "int32",
  6: "fixed64",
  7: "fixed32",
  8: "bool",
  9: "string",
  12: "bytes",
  13: "uint32",
  15: "sfixed32",
  16: "sfixed64",
  17: "sint32",
  18: "sint64",
};

export function subjectOf(method: DescMethod): string {
  return `${method.parent.name}.${method.name}`;
}
