import { Gauge, Histogram, Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { QuickGauge, QuickHistogram } from './quick-metrics.js';

it('they say what prom-client’s own say, however often they are asked', async () => {
  const buckets = [0.001, 0.0025, 1, 10];
  const config = { name: 'x_seconds', help: 'x' };
  const level = { name: 'x_level', help: 'x' };
  const [ours, theirs] = [new Registry(), new Registry()];
  const quick = new QuickHistogram(buckets, { ...config, registers: [ours] });
  const plain = new Histogram({ ...config, buckets, registers: [theirs] });
  const quickGauge = new QuickGauge({ ...level, registers: [ours] });
  const plainGauge = new Gauge({ ...level, registers: [theirs] });
  expect(await ours.metrics()).toBe(await theirs.metrics());
  for (const value of [0, 0.001, 0.002, 0.5, 0.5, 10, 11, 1e9]) {
    quick.observe(value);
    plain.observe(value);
    quickGauge.set(value);
    plainGauge.set(value);
    expect(await ours.metrics()).toBe(await theirs.metrics());
  }
  expect(() => quick.observe(NaN)).toThrow(TypeError);
  expect(await ours.metrics()).toBe(await theirs.metrics());
});
