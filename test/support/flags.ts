import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type FlagSchema,
  Flag_Kind as Kind,
  FlagClause_Operator as Operator,
} from "@tenantplane/sdk/gen/tenantplane/v1/flag_definition_pb";

/** A flag of two variants that is off. */
export const BOOLEAN_FLAG = {
  kind: Kind.BOOLEAN,
  variants: { on: true, off: false },
  offVariant: "off",
  defaultServe: { serve: { case: "variant" as const, value: "off" } },
} satisfies MessageInitShape<typeof FlagSchema>;

/** Serves a variant. */
export const serving = (value: string) => ({ serve: { case: "variant" as const, value } });

/** A condition on an attribute. */
export const clause = (attribute: string, operator: keyof typeof Operator, ...values: string[]) => ({
  attribute,
  operator: Operator[operator],
  values: values.map((value) => ({ kind: { case: "stringValue" as const, value } })),
});

/** Which contexts: those for which all conditions hold. */
export const when = (...clauses: ReturnType<typeof clause>[]) => ({
  match: { case: "clauses" as const, value: { clauses } },
});

/** Which contexts: those for which logic is truthy. */
export const logic = (value: string) => ({ match: { case: "logic" as const, value } });
