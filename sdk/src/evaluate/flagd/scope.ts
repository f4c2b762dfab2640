import type { TenantFacts } from "../context.ts";
import type { JsonValue } from "../json.ts";
import type { FlagState } from "../set/state.ts";

/** What a flag is lowered for. */
export interface LowerScope {
  readonly state: FlagState;
  /** Everything that depends on the tenant is decided here: lowered flags say nothing of tenants. */
  readonly tenant: TenantFacts | undefined;
  /** The flag that logic belongs to. */
  readonly flagKey: string;
  /** Whether the flag's logic is put into another flag's, where `$flagd.flagKey` is that one's. */
  readonly inlined: boolean;
  /** Whether a context is in a segment, as logic. */
  readonly segment: (key: string, scope: LowerScope) => JsonValue;
}

/** Thrown for what flagd's JSON has no words for; the message goes into the report. */
export class NotLowerable extends Error {
  override name = "NotLowerable";
}
