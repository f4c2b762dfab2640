import { Problems } from "../errors.ts";
import type { RateLimitDescriptor } from "./gen/envoy/extensions/common/ratelimit/v3/ratelimit_pb.ts";
import type { RateLimitRequest } from "./gen/envoy/service/ratelimit/v3/rls_pb.ts";

/** What a gateway asks, in our words. */
export interface Ask {
  /** Undefined when no descriptor is of a tenant and a meter. */
  readonly tenantId: string | undefined;
  /** One for each descriptor, in their order. */
  readonly wants: readonly Want[];
  /** The use has happened: it is counted whatever the limits say. */
  readonly force: boolean;
}

/** What one descriptor wants. */
export interface Want {
  /** Undefined when the descriptor limits nothing that we know. */
  readonly meter: string | undefined;
  /** 0 looks without counting. */
  readonly hits: number;
  /** The hits are given back. */
  readonly back: boolean;
}

/** The keys of descriptor entries that mean something here; all others are the gateway's own affair. */
const KEYS = { tenant: "tenant", meter: "meter", mode: "mode" } as const;
/** Gateways send a handful. */
const DESCRIPTORS_MAX = 16;

/**
 * Reads the domain and the descriptors: the entry "meter" names the meter, the entry "tenant" the tenant, or else the
 * domain "tenants/{tenant}" does. Throws INVALID_FIELDS for what a gateway's configuration has got wrong; a tenant's
 * name comes from the gateway's callers, so one that can't be a name is left as it is: nobody has it.
 */
export function parseAsk(request: RateLimitRequest): Ask {
  const { domain, descriptors, hitsAddend } = request;
  const problems = new Problems();
  if (domain === "") problems.add("domain", "must be set");
  if (descriptors.length < 1 || descriptors.length > DESCRIPTORS_MAX) {
    problems.add("descriptors", `must have 1 to ${DESCRIPTORS_MAX} entries`);
  }
  problems.throwIfAny();
  const all = descriptors.map((descriptor, index) => readDescriptor(problems, `descriptors[${index}]`, descriptor));
  const ofDomain = domain.startsWith("tenants/") ? domain : undefined;
  const tenants = new Set(all.flatMap(({ meter, tenant = ofDomain }) => (meter && tenant ? [idOf(tenant)] : [])));
  if (tenants.size > 1)
    problems.add("descriptors", "must be of one tenant: limits of several are not decided together");
  problems.throwIfAny();
  const [tenantId] = tenants;
  return {
    tenantId,
    wants: all.map(({ tenant = ofDomain, meter, hits, back }) => ({
      meter: tenant === undefined ? undefined : meter,
      hits: hits ?? (hitsAddend || 1),
      back,
    })),
    force: all.some(({ mode }) => mode === "FORCE"),
  };
}

function readDescriptor(
  problems: Problems,
  field: string,
  { entries, hitsAddend, isNegativeHits }: RateLimitDescriptor,
) {
  if (entries.length === 0) problems.add(`${field}.entries`, "must not be empty");
  const find = (key: string) => entries.find((entry) => entry.key === key)?.value || undefined;
  const mode = find(KEYS.mode);
  if (mode !== undefined && mode !== "FORCE") problems.add(`${field}.entries`, 'mode must be "FORCE" when it is given');
  if (hitsAddend !== undefined && hitsAddend > BigInt(Number.MAX_SAFE_INTEGER)) {
    problems.add(`${field}.hits_addend`, `must be at most ${Number.MAX_SAFE_INTEGER}`);
  }
  const hits = hitsAddend === undefined ? undefined : Number(hitsAddend);
  return { tenant: find(KEYS.tenant), meter: find(KEYS.meter), mode, hits, back: isNegativeHits };
}

function idOf(tenant: string): string {
  return tenant.startsWith("tenants/") ? tenant.slice("tenants/".length) : tenant;
}
