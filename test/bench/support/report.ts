/** One measure of one candidate over all rounds. */
export interface Entry {
  readonly benchmark: string;
  readonly candidate: string;
  readonly unit: string;
  readonly values: readonly number[];
  readonly ratioTo?: string;
  readonly ratio?: number;
}

/** Takes entries and prints each as a line of JSON on stdout; at the end all of them as a table on stderr. */
export interface Report {
  add(entry: Entry): void;
  printTable(): void;
}

/** Makes an empty report. */
export function createReport(): Report {
  const rows: string[][] = [["benchmark", "candidate", "unit", "median", "min", "max", "ratio"]];
  return {
    add({ benchmark, candidate, unit, values, ratioTo, ratio }) {
      const line = {
        benchmark,
        candidate,
        unit,
        value: rounded(medianOf(values)),
        min: rounded(Math.min(...values)),
        max: rounded(Math.max(...values)),
        rounds: values.length,
        ...(ratio === undefined ? {} : { ratio_to: ratioTo, ratio: rounded(ratio) }),
      };
      process.stdout.write(`${JSON.stringify(line)}\n`);
      const { value, min, max } = line;
      const compared = ratio === undefined ? "" : `${rounded(ratio)} × ${ratioTo}`;
      rows.push([benchmark, candidate, unit, String(value), String(min), String(max), compared]);
    },
    printTable() {
      const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
      for (const row of rows) {
        process.stderr.write(
          `${row
            .map((cell, column) => cell.padEnd(widths[column] ?? 0))
            .join("  ")
            .trimEnd()}\n`,
        );
      }
    },
  };
}

/** The middle one, or the mean of the two in the middle. */
export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle) - 1] ?? Number.NaN)) / 2;
}

/** The value below which a part of all values lies. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

// Three digits say all that such a measurement knows.
function rounded(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}
