// The counters of processes in Prometheus's text format, one metric for each row of the table.
import { Counter, Gauge, Registry, Summary } from 'prom-client';
import type { Measured } from './measured.js';
import * as table from './table.js';
import type { Durations, Metric } from './table.js';

type Labels = Readonly<Record<string, string>>;

const quantiles = { 0.5: 'p50Us', 0.9: 'p90Us', 0.99: 'p99Us', 0.999: 'p999Us' } as const;

/** A summary whose percentiles the addon has computed. */
class Times extends Summary {
  readonly #of: { readonly labels: Labels; readonly times: Durations }[] = [];
  readonly #called: { readonly name: string; readonly help: string };

  constructor(name: string, help: string, registry: Registry) {
    super({ name, help, registers: [registry] });
    this.#called = { name, help };
  }

  add(labels: Labels, times: Durations): void {
    this.#of.push({ labels, times });
  }

  override get(): ReturnType<Summary['get']> {
    const { name, help } = this.#called;
    const values = this.#of.flatMap(({ labels, times }) => [
      ...Object.entries(quantiles).map(([quantile, key]) => ({
        labels: { ...labels, quantile },
        value: times[key] * 1e-6,
      })),
      { metricName: `${name}_sum`, labels, value: times.sumUs * 1e-6 },
      { metricName: `${name}_count`, labels, value: times.count },
    ]);
    // The package declares its enumeration of types, but does not export it.
    const metric = { name, help, type: 'summary', values, aggregator: 'sum' };
    return Promise.resolve(metric) as unknown as ReturnType<Summary['get']>;
  }
}

/** A registry for one scrape: every value is set once. */
class Scrape {
  readonly #registry = new Registry();

  /** Sets one metric for each row; `stats` has its value under the same key. */
  set(rows: Readonly<Record<string, Metric>>, labels: Labels, stats: object): void {
    const values = stats as Readonly<Record<string, unknown>>;
    for (const [key, row] of Object.entries(rows)) {
      if (row.kind === 'times') this.#setTimes(row, labels, values[key] as Durations);
      else this.#setNumber(row, labels, Number(values[key]));
    }
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #setNumber(metric: Metric, labels: Labels, value: number): void {
    const { kind, help, factor } = metric;
    const name = table.fullName(metric);
    const known = this.#registry.getSingleMetric(name) as Counter | Gauge | undefined;
    const Type = kind === 'counter' ? Counter : Gauge;
    const labelNames = Object.keys(labels);
    const made = known ?? new Type({ name, help, labelNames, registers: [this.#registry] });
    made.inc(labels, value * factor);
  }

  #setTimes(metric: Metric, labels: Labels, times: Durations): void {
    const name = table.fullName(metric);
    const known = this.#registry.getSingleMetric(name) as Times | undefined;
    (known ?? new Times(name, metric.help, this.#registry)).add(labels, times);
  }
}

export function metricsText(measured: readonly Measured[]): Promise<string> {
  const scrape = new Scrape();
  for (const one of measured) {
    const labels = { service: one.name };
    scrape.set(table.lifeMetrics, labels, one);
    if (!one.up) continue;
    scrape.set(table.processMetrics, labels, one);
    if (one.fsyncIntervalMs !== undefined) scrape.set(table.flushMetrics, labels, one);
    if (one.service === undefined) continue;
    const rows = one.kind === 'database' ? table.databaseMetrics : table.forwarderMetrics;
    scrape.set(rows, labels, one.service);
    if (!('upstreams' in one.service)) continue;
    for (const upstream of one.service.upstreams) {
      scrape.set(table.upstreamMetrics, { ...labels, upstream: upstream.address }, upstream);
    }
  }
  return scrape.text();
}
