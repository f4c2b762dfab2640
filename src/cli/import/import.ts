import { create, equals } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Clients, fieldViolations, reasonOf, type Tenant, Tenant_State, TenantSchema } from "@tenantplane/sdk";
import type { FieldViolation } from "../../errors.ts";
import { OperatorError } from "../../platform/operator-error.ts";
import type { CreateRequest, TenantLine } from "./tenant-line.ts";

/** What became of a line. */
export type Outcome =
  | { readonly line: number; readonly result: "created" | "present" | "skipped" }
  | { readonly line: number; readonly result: "failed"; readonly id?: string; readonly problems: FieldViolation[] }
  /** The server is away or refuses us altogether: there is no use in going on. */
  | { readonly line: number; readonly result: "cut"; readonly cause: ConnectError };

export interface ImportOptions {
  readonly dryRun: boolean;
  /** Lines before it were done by an earlier run: they are not sent. */
  readonly fromLine: number;
  /** Aborts when no further line shall be begun. */
  readonly stop: AbortSignal;
}

/** Calls at once: as many as keep a node with ten connections to Postgres busy. */
const CONCURRENCY = 24;
/** The ids of all lines are kept, some 100 bytes each, to find those that are there twice. */
const LINES_MAX = 1_000_000;

/**
 * Creates the tenant of every line and tells what became of each, in the order of the lines. Ends early, after the calls
 * under way, when `stop` aborts or when a line is cut.
 *
 * A line whose tenant is there already, just as the line has it, is done: that makes a repeated or interrupted import
 * safe, however long ago and with whichever key it began. (Request ids made of the lines would do so for as long as the
 * server remembers them, and would tell of tenants as created that were purged since.)
 */
export async function* importTenants(
  tenants: Clients["tenants"],
  lines: AsyncIterable<TenantLine>,
  options: ImportOptions,
): AsyncGenerator<Outcome> {
  const seen = new Map<string, number>();
  const underWay: Promise<Outcome>[] = [];
  let cut = false;
  const begin = async (line: TenantLine): Promise<Outcome> => {
    const checked = refuseTwice(seen, line);
    if ("problems" in checked) return { ...checked, result: "failed", problems: [...checked.problems] };
    if (checked.line < options.fromLine) return { line: checked.line, result: "skipped" };
    const outcome = await createOne(tenants, checked, options.dryRun);
    if (outcome.result === "cut") cut = true;
    return outcome;
  };
  let broken: unknown;
  try {
    for await (const line of lines) {
      // Asked before, not after: what comes last of an input that was cut off is no whole line.
      if (cut || options.stop.aborted) break;
      if (seen.size >= LINES_MAX) throw new OperatorError(`A file may have ${LINES_MAX} lines: split it.`);
      underWay.push(begin(line));
      if (underWay.length >= CONCURRENCY) yield await (underWay.shift() as Promise<Outcome>);
    }
  } catch (error) {
    broken = error;
  }
  for (const outcome of underWay) yield await outcome;
  if (broken !== undefined) throw broken;
}

function refuseTwice(seen: Map<string, number>, line: TenantLine): TenantLine {
  if ("problems" in line) return line;
  const { tenantId: id } = line.request;
  const first = seen.get(id);
  if (first === undefined) {
    seen.set(id, line.line);
    return line;
  }
  return { line: line.line, id, problems: [{ field: "id", description: `is on line ${first} too` }] };
}

async function createOne(
  tenants: Clients["tenants"],
  { line, request }: { line: number; request: CreateRequest },
  dryRun: boolean,
): Promise<Outcome> {
  try {
    await tenants.createTenant({ ...request, validateOnly: dryRun });
    return { line, result: "created" };
  } catch (error) {
    if (reasonOf(error) !== "RESOURCE_EXISTS") return failure(line, request, error);
  }
  try {
    const { tenant } = await tenants.getTenant({ name: `tenants/${request.tenantId}` });
    const differences = tenant ? differencesOf(request, tenant) : [];
    if (differences.length === 0) return { line, result: "present" };
    const description = `is there already, with another ${differences.join(", ")}`;
    return { line, result: "failed", id: request.tenantId, problems: [{ field: "id", description }] };
  } catch (error) {
    return failure(line, request, error);
  }
}

/** Whatever comes next would fail the same way. */
const HOPELESS: readonly Code[] = [Code.Unavailable, Code.Unauthenticated, Code.DeadlineExceeded, Code.Canceled];

function failure(line: number, { tenantId: id }: CreateRequest, error: unknown): Outcome {
  const cause = ConnectError.from(error);
  if (HOPELESS.includes(cause.code)) return { line, result: "cut", cause };
  const fields = fieldViolations(cause).map(({ field, description }) => ({ field: columnOf(field), description }));
  const problems = fields.length > 0 ? fields : [{ field: "", description: cause.rawMessage }];
  return { line, result: "failed", id, problems };
}

// The server names fields of its request, people see columns.
function columnOf(field: string): string {
  return field === "tenant_id" ? "id" : field.replace(/^tenant\./, "");
}

const COMPARED = [
  "displayName",
  "plan",
  "planVersion",
  "integrator",
  "region",
  "timeZone",
  "labels",
  "settings",
] as const;

// What the line asks for and the tenant is not. Its state and its users may have moved on since.
function differencesOf({ tenant: asked, activate }: CreateRequest, tenant: Tenant): string[] {
  const wanted = create(TenantSchema, asked);
  if (wanted.planVersion === 0) wanted.planVersion = tenant.planVersion;
  if (wanted.timeZone === "") wanted.timeZone = "UTC";
  const differing = COMPARED.filter((field) => {
    const only = (of: Tenant) => create(TenantSchema, { [field]: of[field] });
    return !equals(TenantSchema, only(wanted), only(tenant));
  }).map((field) => field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
  const isLess = tenant.state === Tenant_State.DELETED || (activate && tenant.state === Tenant_State.CREATED);
  return isLess ? [...differing, "state"] : differing;
}
