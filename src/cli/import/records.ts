/** The formats of import files. */
export type Format = "csv" | "ndjson";

/** One record of a file with the line that it starts on: its bytes, or why it can't be read. */
export type FileRecord =
  | { readonly line: number; readonly bytes: Uint8Array }
  | { readonly line: number; readonly problem: string; readonly fatal: boolean };

/** The largest tenant is some 300 kB: 100 settings of 1,024 characters and 64 labels. */
export const RECORD_BYTES_MAX = 1024 * 1024;

const LF = 10;
const CR = 13;
const QUOTE = 34;
const DELIMITERS = [..."\t,;"].map((character) => character.charCodeAt(0));

/**
 * Cuts a file into records: lines, or for CSV lines that may go on within quotes. Reads no further than the caller
 * asks, and keeps at most one record, so memory is bounded whatever the file holds. Blank lines are passed over.
 *
 * A CSV record that never ends is fatal: were we to look for a next line in it, the text of a quoted field could pass
 * for a tenant. (It is cut here rather than by csv-parse, which bounds neither a record of many empty fields nor goes
 * on after a bad one.)
 */
export async function* readRecords(chunks: AsyncIterable<Uint8Array>, format: Format): AsyncGenerator<FileRecord> {
  const splitter = createSplitter(format);
  let first = true;
  for await (const chunk of chunks) {
    for (const record of splitter.push(chunk)) {
      yield first ? withoutMark(record) : record;
      first = false;
      if ("fatal" in record && record.fatal) return;
    }
  }
  for (const record of splitter.end()) yield first ? withoutMark(record) : record;
}

function createSplitter(format: Format) {
  let kept: Uint8Array[] = [];
  let keptBytes = 0;
  let line = 1;
  let startLine = 1;
  let place: "start" | "plain" | "quoted" | "closing" | "skipped" = "start";
  // Known names of columns hold none of these characters: the first one is what separates them.
  let delimiter: number | undefined;

  const take = (): FileRecord[] => {
    const bytes = Buffer.concat(kept);
    const wasSkipped = place === "skipped";
    const record = { line: startLine, bytes: bytes.at(-1) === CR ? bytes.subarray(0, -1) : bytes };
    kept = [];
    keptBytes = 0;
    startLine = line;
    place = "start";
    return wasSkipped || record.bytes.length === 0 ? [] : [record];
  };
  const keep = (bytes: Uint8Array): FileRecord[] => {
    if (place === "skipped") return [];
    keptBytes += bytes.length;
    kept.push(bytes);
    if (keptBytes <= RECORD_BYTES_MAX) return [];
    const openQuote = format === "csv" && place === "quoted" ? ": is a quote left open?" : "";
    kept = [];
    place = "skipped";
    return [{ line: startLine, problem: `is longer than 1 MiB${openQuote}`, fatal: format === "csv" }];
  };
  const step = (byte: number) => {
    if (place === "skipped" || format === "ndjson") return;
    if (place === "quoted") place = byte === QUOTE ? "closing" : "quoted";
    else if (byte === QUOTE && place !== "plain") place = "quoted";
    else {
      if (delimiter === undefined && DELIMITERS.includes(byte)) delimiter = byte;
      place = byte === delimiter ? "start" : "plain";
    }
  };
  return {
    *push(chunk: Uint8Array): Generator<FileRecord> {
      let from = 0;
      for (let at = 0; at < chunk.length; at += 1) {
        const byte = chunk[at] ?? 0;
        if (byte === LF) line += 1;
        if (byte !== LF || place === "quoted") {
          step(byte);
          continue;
        }
        yield* keep(chunk.subarray(from, at));
        yield* take();
        from = at + 1;
      }
      yield* keep(chunk.subarray(from));
    },
    *end(): Generator<FileRecord> {
      if (place === "quoted") yield { line: startLine, problem: "has a quote that is left open", fatal: true };
      else yield* take();
    },
  };
}

// Windows' editors put a mark before the text.
function withoutMark(record: FileRecord): FileRecord {
  if (!("bytes" in record)) return record;
  const { line, bytes } = record;
  const [a, b, c] = bytes;
  if (a === 0xef && b === 0xbb && c === 0xbf) return { line, bytes: bytes.subarray(3) };
  const isUtf16 = (a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff);
  return isUtf16 ? { line, problem: "is UTF-16: save the file as UTF-8", fatal: true } : record;
}
