import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { QueueHealth } from "./job.ts";

/** The metrics of a node, in Prometheus' form. */
export function createMetrics(read: {
  tenants: () => number;
  watchers: () => number;
  queue: () => Promise<QueueHealth>;
}) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const calls = new Counter({
    name: "tenantplane_calls_total",
    help: "Calls by method and code.",
    labelNames: ["method", "code"],
    registers: [registry],
  });
  const seconds = new Histogram({
    name: "tenantplane_call_duration_seconds",
    help: "How long calls took, by method.",
    labelNames: ["method"],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
    registers: [registry],
  });
  const runs = new Counter({
    name: "tenantplane_job_runs_total",
    help: "Runs of background jobs by job and outcome.",
    labelNames: ["job", "outcome"],
    registers: [registry],
  });
  const runSeconds = new Histogram({
    name: "tenantplane_job_duration_seconds",
    help: "How long runs of background jobs took, by job.",
    labelNames: ["job"],
    buckets: [0.005, 0.05, 0.5, 5, 60],
    registers: [registry],
  });
  new Gauge({
    name: "tenantplane_job_queue",
    help: "Runs in the queue of background jobs by state, and the workers on it.",
    labelNames: ["state"],
    registers: [registry],
    async collect() {
      this.reset();
      const health = await read.queue().catch(() => ({}));
      for (const [state, count] of Object.entries(health)) this.set({ state }, count);
    },
  });
  gauge(registry, "tenantplane_tenants", "Tenants in this node's memory, deleted ones included.", read.tenants);
  gauge(registry, "tenantplane_watchers", "Open watch streams.", read.watchers);
  return {
    observe(method: string, code: string, ms: number) {
      calls.inc({ method, code });
      seconds.observe({ method }, ms / 1_000);
    },
    observeJob(job: string, outcome: "ok" | "failed", ms: number) {
      runs.inc({ job, outcome });
      runSeconds.observe({ job }, ms / 1_000);
    },
    render: () => registry.metrics(),
    registry,
  };
}

function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}
