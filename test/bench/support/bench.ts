import type { Place } from "./place.ts";
import { medianOf, type Report } from "./report.ts";

/** One benchmark: a file beside this folder, registered in run.ts. */
export interface Benchmark {
  /** What it is called on the command line and in its lines. */
  readonly name: string;
  /** What it measures, in a line. */
  readonly about: string;
  run(bench: Bench): Promise<void>;
}

/** What was measured in one round, by unit: {"calls/s": 20_000, "p99 ms": 3.1}. */
export type Measures = Readonly<Record<string, number>>;

/** What a benchmark works with. */
export interface Bench {
  readonly place: Place;
  /** The size that is measured, or the small one of a run that only tries whether all works. */
  size(full: number, quick: number): number;
  /**
   * Runs the candidates in turns, round by round, and reports the median of each measure. Machines are noisy, so only
   * ratios travel: each round's measures are compared with those of `ratioTo` in the same round.
   */
  compare(
    candidates: Readonly<Record<string, () => Promise<Measures>>>,
    options?: { readonly ratioTo?: string; readonly rounds?: number; readonly warmUp?: boolean },
  ): Promise<void>;
}

/** Enough for a median that a pause of the machine does not move. */
const ROUNDS = 5;

/** Makes a benchmark's surroundings. */
export function createBench(benchmark: string, place: Place, report: Report, quick: boolean): Bench {
  return {
    place,
    size: (full, small) => (quick ? small : full),
    async compare(candidates, { ratioTo, rounds = ROUNDS, warmUp = true } = {}) {
      const results = new Map(Object.keys(candidates).map((title) => [title, [] as Measures[]]));
      if (warmUp && !quick) for (const measure of Object.values(candidates)) await measure();
      for (let round = 0; round < (quick ? 1 : rounds); round += 1) {
        for (const [title, measure] of Object.entries(candidates)) results.get(title)?.push(await measure());
      }
      for (const [candidate, measured] of results) {
        for (const unit of Object.keys(measured[0] ?? {})) {
          const values = valuesOf(measured, unit);
          const base = candidate === ratioTo ? [] : valuesOf(results.get(ratioTo ?? "") ?? [], unit);
          const ratios = base.map((value, round) => (values[round] ?? Number.NaN) / value);
          const compared = ratioTo === undefined || ratios.length === 0 ? {} : { ratioTo, ratio: medianOf(ratios) };
          report.add({ benchmark, candidate, unit, values, ...compared });
        }
      }
    },
  };
}

function valuesOf(measured: readonly Measures[], unit: string): number[] {
  return measured.flatMap((measures) => measures[unit] ?? []);
}
