import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  addLatency,
  emptyLatencies,
  LATENCY_BOUNDS_MS,
  LATENCY_CLASSES,
  latencyQuantileMs,
  sumLatencies,
} from './latency-histogram.js';

function counted(all: number[]): number[] {
  const counts = emptyLatencies();
  for (const ms of all) addLatency(counts, ms);
  return counts;
}

it('has classes from a millisecond to a minute, each wider than the one before', () => {
  expect(LATENCY_BOUNDS_MS[0]).toBe(1);
  expect(LATENCY_BOUNDS_MS.at(-1)).toBe(60_000);
  expect(LATENCY_BOUNDS_MS).toEqual([...LATENCY_BOUNDS_MS].sort((a, b) => a - b));
  expect(emptyLatencies()).toHaveLength(LATENCY_CLASSES);
});

it.each([
  [[], 0.5, null],
  [[5, 5, 5], 1, 6.8],
  [[90_000], 0.5, 60_000],
  [[0], 1, 1],
])('%j at %d: %d', (all, share, ms) => expect(latencyQuantileMs(counted(all), share)).toBe(ms));

const durations = fc.array(fc.double({ min: 0, max: 60_000, noNaN: true }), { minLength: 1, maxLength: 200 });

it('is in the class of the true quantile', () => {
  fc.assert(
    fc.property(durations, fc.double({ min: 0.01, max: 1, noNaN: true }), (all, share) => {
      const sorted = [...all].sort((a, b) => a - b);
      const truth = sorted[Math.ceil(share * all.length) - 1];
      const high = LATENCY_BOUNDS_MS.find((bound) => bound >= truth)!;
      const low = LATENCY_BOUNDS_MS.findLast((bound) => bound < truth) ?? 0;
      const said = latencyQuantileMs(counted(all), share)!;
      expect(said).toBeGreaterThanOrEqual(Math.floor(low * 10) / 10);
      expect(said).toBeLessThanOrEqual(high);
    }),
  );
});

it('adds up: counted apart and together are equal, and nothing is lost', () => {
  fc.assert(
    fc.property(durations, durations, (a, b) => {
      const sum = sumLatencies(counted(a), counted(b));
      expect(sum).toEqual(counted([...a, ...b]));
      expect(sum.reduce((x, y) => x + y, 0)).toBe(a.length + b.length);
    }),
  );
});
