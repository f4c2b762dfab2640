/** Makes this process a child that carries out its parent's orders, one after the other, and ends with its parent. */
export function obey<T>(carryOut: (order: T) => Promise<unknown>, stop: () => Promise<void> = async () => {}): void {
  process.on("message", (order) => {
    carryOut(order as T).then(
      (value) => process.send?.({ value }),
      (error: unknown) => process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : "failed" }),
    );
  });
  process.once("disconnect", () => {
    // Profiles are written when the process ends by itself or by `exit`.
    void stop().finally(() => process.exit());
  });
}
