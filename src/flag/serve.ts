import { type FlagDefinition, referencesOfFlag, type Serve } from "@tenantplane/sdk/evaluate";

/** The segments that what is served refers to: those of a flag that served nothing else. */
export function segmentsOf(serve: Serve): readonly string[] {
  return [...new Set(referencesOfFlag({ ...EMPTY_FLAG, defaultServe: serve }).segments)];
}

const EMPTY_FLAG: FlagDefinition = { key: "", kind: "boolean", state: "ENABLED", variants: {}, salt: "", bucketing: 1 };
