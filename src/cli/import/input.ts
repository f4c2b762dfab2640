import { once } from "node:events";
import { closeSync, createReadStream, openSync, statSync, writeSync } from "node:fs";
import { OperatorError } from "../../platform/operator-error.ts";

/** An import's file while it is read. */
export interface Input {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** How large it is; undefined for what has no size, as a pipe. */
  readonly totalBytes: number | undefined;
  readonly readBytes: () => number;
}

/** Some hundred lines: what is read tells how far an import is. */
const CHUNK_BYTES = 16 * 1024;

/** Opens a file, or standard input for "-". Its chunks end when `stop` aborts. Throws OperatorError. */
export async function openInput(file: string, stop: AbortSignal): Promise<Input> {
  const stream = file === "-" ? process.stdin : createReadStream(file, { highWaterMark: CHUNK_BYTES });
  if (file !== "-") {
    await once(stream, "open").catch((error: unknown) => {
      throw unusable(file, error);
    });
  }
  const stats = file === "-" ? undefined : statSync(file);
  if (stats?.isDirectory()) throw new OperatorError(`${file} is a folder.`);
  stop.addEventListener("abort", () => stream.destroy(), { once: true });
  let readBytes = 0;
  async function* chunks(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of stream as AsyncIterable<Uint8Array>) {
        readBytes += chunk.length;
        yield chunk;
      }
    } catch (error) {
      if (!stop.aborted) throw unusable(file, error);
    }
  }
  return { chunks: chunks(), totalBytes: stats?.isFile() ? stats.size : undefined, readBytes: () => readBytes };
}

/** A file that takes what is wrong with lines. */
export interface ErrorFile {
  /** Throws OperatorError when the disk is full, or the like. */
  append(text: string): void;
  close(): void;
}

/** Opens a file for what is wrong with lines; what was in it before is gone. Throws OperatorError. */
export function openErrors(file: string, input: string): ErrorFile {
  const [mine, other] = [file, input].map((name) => statSync(name, { throwIfNoEntry: false }));
  if (mine && other && mine.ino === other.ino && mine.dev === other.dev) {
    throw new OperatorError("--errors must not name the file that is imported.");
  }
  const attempt = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw unusable(file, error);
    }
  };
  const handle = attempt(() => openSync(file, "w"));
  return { append: (text) => attempt(() => writeSync(handle, text)), close: () => closeSync(handle) };
}

function unusable(file: string, error: unknown): OperatorError {
  return new OperatorError(`${file} can't be used (${(error as NodeJS.ErrnoException).code ?? "unknown"}).`);
}
