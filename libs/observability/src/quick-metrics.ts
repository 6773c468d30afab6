import { Gauge, Histogram, type GaugeConfiguration, type HistogramConfiguration } from 'prom-client';

/** What prom-client keeps of the observations without labels. */
interface Kept {
  hashMap: Record<string, { sum: number; count: number; bucketValues: Record<string, number> }>;
}

/**
 * A histogram without labels that each attempt observes. prom-client's own makes five objects and finds its bucket by the text of a
 * fraction each time: 0.6 µs, twice for each delivery. Here it is told when somebody asks.
 */
export class QuickHistogram extends Histogram {
  private readonly counts: number[];
  private sum = 0;
  private count = 0;

  constructor(
    private readonly bounds: readonly number[],
    config: Omit<HistogramConfiguration<string>, 'buckets' | 'labelNames'>,
  ) {
    super({ ...config, buckets: [...bounds], collect: () => this.tell() });
    this.counts = bounds.map(() => 0);
    // prom-client's constructor gives each histogram its own.
    this.observe = (value: unknown) => this.add(value as number);
  }

  private add(value: number): void {
    if (!Number.isFinite(value)) throw new TypeError(`Bug: not a number to observe: ${value}`);
    this.sum += value;
    this.count++;
    for (let at = 0; at < this.bounds.length; at++)
      if (value <= this.bounds[at]) {
        this.counts[at]++;
        return;
      }
  }

  private tell(): void {
    const kept = (this as unknown as Kept).hashMap[''];
    kept.sum = this.sum;
    kept.count = this.count;
    for (const [at, bound] of this.bounds.entries()) kept.bucketValues[bound] = this.counts[at];
  }
}

/** A gauge without labels that is set more often than anybody asks. */
export class QuickGauge extends Gauge {
  private latest = 0;

  constructor(config: Omit<GaugeConfiguration<string>, 'labelNames'>) {
    super({ ...config, collect: () => super.set(this.latest) });
  }

  override set(value: unknown): void {
    this.latest = value as number;
  }
}
