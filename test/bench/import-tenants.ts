import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import type { Benchmark, Measures } from "./support/bench.ts";
import { startNode } from "./support/tenants.ts";

/** The command that creates tenants out of a file, in a process of its own, as an operator runs it. */
export const importTenants: Benchmark = {
  name: "import-tenants",
  about: "`tenants import` of 10,000 lines, each with a first administrator: tried dry, done, and repeated",
  async run({ place, size, compare }) {
    const { server, clients } = await startNode(place);
    clients.close();
    const count = size(10_000, 30);
    let round = 0;
    let file = "";
    const importFile = (...options: string[]) => measureCommand(server, count, ["tenants", "import", file, ...options]);
    await compare(
      {
        "dry run": () => {
          round += 1;
          file = `${place.file()}.csv`;
          writeFileSync(file, linesOf(round, count));
          return importFile("--dry-run");
        },
        import: () => importFile(),
        "import again": () => importFile(),
      },
      { ratioTo: "import", rounds: 3, warmUp: false },
    );
  },
};

function linesOf(round: number, count: number): string {
  const lines = Array.from({ length: count }, (_, index) => {
    const id = `import-${round}-${index}`;
    return `${id},"Number ${index}, Inc.",basic,eu-central,Europe/Berlin,gold,25,admin@${id}.example\n`;
  });
  return `id,display_name,plan,region,time_zone,labels.tier,settings.seats:int,admin_email\n${lines.join("")}`;
}

function measureCommand(
  { grpcPort, key }: { grpcPort: number; key: string },
  count: number,
  args: readonly string[],
): Promise<Measures> {
  const reach = { TENANTPLANE_SERVER: `http://127.0.0.1:${grpcPort}`, TENANTPLANE_KEY: key };
  const startedAt = performance.now();
  const command = spawn(process.execPath, ["--conditions=source", "src/main.ts", ...args], {
    env: { ...process.env, ...reach },
    stdio: "ignore",
  });
  return new Promise((resolve, reject) => {
    command.once("error", reject);
    command.once("exit", (code) => {
      const seconds = (performance.now() - startedAt) / 1_000;
      if (code === 0) resolve({ s: seconds, "tenants/s": count / seconds });
      else reject(new Error(`the import ended with ${code}`));
    });
  });
}
