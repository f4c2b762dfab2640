import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Bench, Benchmark } from "./support/bench.ts";
import { ENGINES, type FlagEngine, keyOf, SHAPES, type Shape, type Subject } from "./support/flag-engines.ts";

/** As many flags as a large platform has. */
const FLAGS = 10_000;
/** How many flags and subjects take turns, so that no engine lives on having seen the same pair a moment ago. */
const TURNS = 64;
const EVALUATIONS = 500_000;
const OURS = "tenantplane";

/** Flags evaluated in process, by us and by the peers, on definitions that say the same. */
export const evaluate: Benchmark = {
  name: "evaluate",
  about:
    "a flag evaluated in memory among 10,000, their memory, and one of them changed, beside flagd-core, GrowthBook, LaunchDarkly and Unleash",
  async run(bench) {
    const flags = bench.size(FLAGS, 40);
    const engines = new Map<string, FlagEngine>();
    await compareMemory(bench, flags, engines);
    for (const shape of SHAPES) {
      await compareAll(bench, engines, shape, async (engine) => ({
        "ns of processor": await timeOf(engine, shape, bench.size(EVALUATIONS, 100), flags),
      }));
    }
    let round = 0;
    await compareAll(bench, engines, "one flag changed", async ({ change }) => {
      round += 1;
      const at = performance.now();
      await change?.(round);
      return change === undefined ? {} : { ms: performance.now() - at };
    });
    for (const engine of engines.values()) engine.close();
  },
};

function compareAll(
  bench: Bench,
  engines: ReadonlyMap<string, FlagEngine>,
  title: string,
  measure: (engine: FlagEngine) => Promise<Record<string, number>>,
): Promise<void> {
  const candidates = [...engines].map(([name, engine]) => [`${title}: ${name}`, () => measure(engine)]);
  return bench.compare(Object.fromEntries(candidates), { ratioTo: `${title}: ${OURS}` });
}

/** Makes the engines, and tells what each keeps in memory. */
async function compareMemory(bench: Bench, flags: number, engines: Map<string, FlagEngine>): Promise<void> {
  const candidates = Object.entries(ENGINES).map(([name, make]) => [
    `memory: ${name}`,
    async () => {
      const before = heapBytes();
      engines.set(name, await make(flags));
      return { MiB: Math.max(0, heapBytes() - before) / 2 ** 20 };
    },
  ]);
  await bench.compare(Object.fromEntries(candidates), { ratioTo: `memory: ${OURS}`, rounds: 1, warmUp: false });
}

function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  return process.memoryUsage().heapUsed;
}

/** The processor time of one evaluation, without that of the loop around it. Unlike the wall clock, it ignores what else runs on the machine. */
async function timeOf(engine: FlagEngine, shape: Shape, times: number, flags: number): Promise<number> {
  const turns = Math.min(TURNS, flags / SHAPES.length);
  const keys = Array.from({ length: turns }, (_, index) => keyOf(shape, index));
  const subjects = Array.from({ length: turns }, (_, index) => engine.evaluateFor(subjectOf(index)));
  const isLater = subjects[0]?.(keys[0] ?? "") instanceof Promise;
  const run = isLater ? runInTurn : runAtOnce;
  const empty = subjects.map(() => (key: string) => key.length);
  const loopNs = await processorNs(() => run(keys, empty, times));
  const wholeNs = await processorNs(() => run(keys, subjects, times));
  return Math.max(0, wholeNs - loopNs) / times;
}

async function processorNs(work: () => unknown): Promise<number> {
  const before = process.threadCpuUsage();
  await work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) * 1_000;
}

type Evaluators = readonly ((key: string) => unknown)[];

function runAtOnce(keys: readonly string[], evaluators: Evaluators, times: number): void {
  const turns = keys.length;
  for (let index = 0; index < times; index += 1) {
    evaluators[(index * 7) % turns]?.(keys[index % turns] ?? "");
  }
}

async function runInTurn(keys: readonly string[], evaluators: Evaluators, times: number): Promise<void> {
  const turns = keys.length;
  for (let index = 0; index < times; index += 1) {
    await evaluators[(index * 7) % turns]?.(keys[index % turns] ?? "");
  }
}

/** Made from JSON, as contexts come from outside: text that was just joined together would be slower to read. */
function subjectOf(index: number): Subject {
  const subject: Subject = {
    targetingKey: `user-${index}-6ba7b810-9dad-11d1`,
    plan: index % 3 === 0 ? "pro" : "basic",
    country: ["DE", "AT", "FR", "US"][index % 4] ?? "DE",
    version: `${index % 4}.${index % 7}.${index}`,
  };
  return JSON.parse(JSON.stringify(subject)) as Subject;
}
