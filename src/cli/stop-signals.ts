const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/**
 * Runs something that is asked to stop by SIGINT and SIGTERM, as Ctrl-C sends, rather than ended by them. Asked more
 * than once it stops no faster: a shell's Ctrl-C reaches us by the terminal and by our launcher.
 */
export async function untilStopped<T>(run: (stop: AbortSignal) => Promise<T>): Promise<T> {
  const asked = new AbortController();
  const stop = () => asked.abort();
  for (const signal of SIGNALS) process.on(signal, stop);
  try {
    return await run(asked.signal);
  } finally {
    for (const signal of SIGNALS) process.off(signal, stop);
  }
}
