import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "@tenantplane/sdk/gen/google/rpc/error_details_pb";

/** What a call was refused with, as one literal to compare; fails when it was not refused. */
export async function refusal(call: Promise<unknown>): Promise<{ code: string; reason: string; fields: string[] }> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => ConnectError.from(thrown),
  );
  if (!error) throw new Error("the call was not refused");
  const [info] = error.findDetails(ErrorInfoSchema);
  const [bad] = error.findDetails(BadRequestSchema);
  return {
    code: Code[error.code],
    reason: info?.reason ?? `no ErrorInfo: ${error.message}`,
    fields: bad?.fieldViolations.map((violation) => violation.field) ?? [],
  };
}
