/** Resolves as soon as the condition holds; rejects when it does not within 20 seconds. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`it did not come true within ${PATIENCE_MS} ms: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A busy machine takes its time; a test that needs more has failed. */
const PATIENCE_MS = 20_000;
