// `npm run bench -- [--quick] [--profile folder] [names…]`: one JSON line a measure on stdout, a table on stderr at the end.
import { parseArgs } from "node:util";
import { checkQuota } from "./check-quota.ts";
import { coldStart } from "./cold-start.ts";
import { createTenant } from "./create-tenant.ts";
import { evaluate } from "./evaluate.ts";
import { evaluateFlags } from "./evaluate-flags.ts";
import { getTenant } from "./get-tenant.ts";
import { getTenantOverHttp } from "./get-tenant-over-http.ts";
import { importTenants } from "./import-tenants.ts";
import { leaseQuota } from "./lease-quota.ts";
import { listTenants } from "./list-tenants.ts";
import { purgeTenants } from "./purge-tenants.ts";
import { quotaCosts } from "./quota-costs.ts";
import { streamQuotaChecks } from "./stream-quota-checks.ts";
import { type Benchmark, createBench } from "./support/bench.ts";
import { createPlace } from "./support/place.ts";
import { createReport } from "./support/report.ts";
import { watchFlags } from "./watch-flags.ts";
import { watchTenants } from "./watch-tenants.ts";

const BENCHMARKS: readonly Benchmark[] = [
  getTenant,
  getTenantOverHttp,
  createTenant,
  importTenants,
  watchTenants,
  watchFlags,
  evaluateFlags,
  coldStart,
  listTenants,
  purgeTenants,
  checkQuota,
  streamQuotaChecks,
  leaseQuota,
  quotaCosts,
  evaluate,
];

const { values: flags, positionals: names } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: "boolean", default: false }, profile: { type: "string" }, list: { type: "boolean" } },
});
const chosen = names.length === 0 ? BENCHMARKS : BENCHMARKS.filter(({ name }) => names.includes(name));
const unknown = names.filter((name) => !BENCHMARKS.some((benchmark) => benchmark.name === name));
if (flags.list || unknown.length > 0) {
  if (unknown.length > 0) process.stderr.write(`There is no benchmark ${unknown.join(", ")}. There are:\n`);
  for (const { name, about } of BENCHMARKS) process.stderr.write(`  ${name.padEnd(22)} ${about}\n`);
  process.exitCode = unknown.length > 0 ? 1 : 0;
} else await runAll();

async function runAll(): Promise<void> {
  const place = await createPlace(flags.profile);
  const report = createReport();
  try {
    for (const benchmark of chosen) {
      process.stderr.write(`${benchmark.name}: ${benchmark.about} …\n`);
      await benchmark.run(createBench(benchmark.name, place, report, flags.quick));
      await place.clear();
    }
  } finally {
    await place.stop();
  }
  report.printTable();
}
