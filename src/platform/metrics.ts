import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** The metrics of a node, in Prometheus' form. */
export function createMetrics(read: { tenants: () => number; watchers: () => number }) {
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
  gauge(registry, "tenantplane_tenants", "Tenants in this node's memory, deleted ones included.", read.tenants);
  gauge(registry, "tenantplane_watchers", "Open watch streams.", read.watchers);
  return {
    observe(method: string, code: string, ms: number) {
      calls.inc({ method, code });
      seconds.observe({ method }, ms / 1_000);
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
