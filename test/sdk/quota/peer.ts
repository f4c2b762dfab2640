import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient, createRouterTransport, type ServiceImpl } from "@connectrpc/connect";
import {
  type CheckQuotaRequest,
  QuotaCheckResultSchema,
  QuotaDecision_Consistency,
  QuotaDecision_Outcome,
  type QuotaDecisionSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import { QuotaService } from "@tenantplane/sdk/gen/tenantplane/v1/quota_pb";

type Peer = Partial<ServiceImpl<typeof QuotaService>>;

/** A client of a server that does what a test says: for what a real one does only by chance. */
export function quotasOf(peer: Peer): { readonly quotas: Client<typeof QuotaService> } {
  return {
    quotas: createClient(
      QuotaService,
      createRouterTransport(({ service }) => service(QuotaService, peer)),
    ),
  };
}

/** An ALLOW, but for what a test says, as the outcome of a check. */
export function decided(decision: MessageInitShape<typeof QuotaDecisionSchema> = {}) {
  const value = {
    outcome: QuotaDecision_Outcome.ALLOW,
    consistency: QuotaDecision_Consistency.EXACT,
    admittedAmounts: [1n],
    ...decision,
  };
  return create(QuotaCheckResultSchema, { result: { case: "decision", value } });
}

/** A stream that answers each check of a message with what `answer` makes of it. */
export function answering(
  answer: (request: CheckQuotaRequest) => ReturnType<typeof decided>,
): NonNullable<Peer["streamQuotaChecks"]> {
  return async function* (messages) {
    for await (const { checks } of messages) {
      yield { results: checks.map(({ id, request }) => ({ id, result: answer(request as CheckQuotaRequest) })) };
    }
  };
}
