import type { Benchmark } from "./support/bench.ts";
import type { Memory } from "./support/server.ts";
import { fillTenants, startNode } from "./support/tenants.ts";

/** A node that starts on a database full of tenants, all of which it keeps in memory. */
export const coldStart: Benchmark = {
  name: "cold-start",
  about: "a node's start on a database of 100,000 tenants, beside one without any",
  async run({ place, size, compare }) {
    const databases = { "no tenants": 0, "all tenants": size(100_000, 500) };
    const urls: Record<string, string> = {};
    for (const [title, count] of Object.entries(databases)) {
      const { url, server, clients } = await startNode(place);
      clients.close();
      await server.stop();
      await fillTenants(url, count);
      urls[title] = url;
    }
    const start = (title: string) => async () => {
      const settings = { DATABASE_URL: urls[title] ?? "" };
      const server = await place.serve({ do: "serve", what: "node", settings });
      const { rssMib, heapMib } = await server.ask<Memory>({ do: "memory" });
      await server.stop();
      return { s: server.ms / 1_000, "MiB resident": rssMib, "MiB of heap": heapMib };
    };
    await compare(
      { "no tenants": start("no tenants"), "all tenants": start("all tenants") },
      { ratioTo: "no tenants", rounds: 3 },
    );
  },
};
