import type { Benchmark } from "./support/bench.ts";
import { quantile } from "./support/report.ts";
import { fillTenants, startNode } from "./support/tenants.ts";

/** The page that is measured, as the console shows it. */
const PAGE_SIZE = 50;
/** The pages by which the middle and the end are reached. */
const STRIDE = 1_000;

const QUERIES: Readonly<Record<string, { orderBy?: string; filter?: string }>> = {
  "by name": {},
  "by create_time, newest first": { orderBy: "create_time desc" },
  "a third of all, by a label": { filter: 'labels.team = "red"' },
  "a fiftieth of all, by a label": { filter: 'labels.shard = "7"' },
};

/** Pages of a long list: the last is as near as the first. */
export const listTenants: Benchmark = {
  name: "list-tenants",
  about: "a page of 50 of 100,000 tenants, at the start, in the middle and at the end of the list",
  async run(bench) {
    const { url, clients } = await startNode(bench.place);
    await fillTenants(url, bench.size(100_000, 500));
    const stride = bench.size(STRIDE, 5);
    const calls = bench.size(30, 2);
    for (const [title, query] of Object.entries(QUERIES)) {
      const tokens = [""];
      for (;;) {
        const { nextPageToken } = await clients.tenants.listTenants({
          ...query,
          pageSize: stride,
          pageToken: tokens.at(-1) ?? "",
        });
        if (nextPageToken === "") break;
        tokens.push(nextPageToken);
      }
      const page =
        (pageToken = "") =>
        async () => {
          const times: number[] = [];
          for (let call = 0; call < calls; call += 1) {
            const at = performance.now();
            await clients.tenants.listTenants({ ...query, pageSize: PAGE_SIZE, pageToken });
            times.push(performance.now() - at);
          }
          return { "p50 ms": quantile(times, 0.5) };
        };
      await bench.compare(
        {
          [`${title}: first`]: page(),
          [`${title}: middle`]: page(tokens[Math.floor(tokens.length / 2)]),
          [`${title}: last`]: page(tokens.at(-1)),
        },
        { ratioTo: `${title}: first` },
      );
    }
    clients.close();
  },
};
