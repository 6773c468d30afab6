import type { Arrivals } from '../support/receiver/journal.js';

export interface Percentiles {
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** By nearest rank: every number shown is one that was measured. Null when nothing was. */
export function percentiles(samplesMs: readonly number[]): Percentiles | null {
  if (samplesMs.length === 0) return null;
  const sorted = Float64Array.from(samplesMs).sort();
  const rank = (p: number) => round(sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)], 2);
  return { p50Ms: rank(50), p95Ms: rank(95), p99Ms: rank(99), maxMs: rank(100) };
}

/** Whether what was accepted is what came in. */
export interface DeliveryCounts {
  /** Events answered 202; each has one endpoint, so one delivery. */
  readonly accepted: number;
  /** Different events that reached the receiver. */
  readonly received: number;
  readonly requests: number;
  /** Accepted, but not received before the bench gave up waiting. */
  readonly missing: number;
  /** Requests beyond the first of each event. */
  readonly duplicates: number;
  /** Received, but never accepted: should be zero, or an answer was lost. */
  readonly unknown: number;
}

export function countDeliveries(accepted: readonly string[], { ids }: Arrivals): DeliveryCounts {
  const received = new Set(ids);
  const known = new Set(accepted);
  return {
    accepted: known.size,
    received: received.size,
    requests: ids.length,
    missing: accepted.filter((id) => !received.has(id)).length,
    duplicates: ids.length - received.size,
    unknown: [...received].filter((id) => !known.has(id)).length,
  };
}

export function round(value: number, digits = 0): number {
  return Number(value.toFixed(digits));
}

export function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, each) => sum + each, 0) / values.length;
}

/** Of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Of the straight line through them; 0 when there are too few. */
export function slopePerMinute(timesMs: readonly number[], values: readonly number[]): number {
  const [t, v] = [mean(timesMs), mean(values)];
  const spread = timesMs.reduce((sum, at) => sum + (at - t) ** 2, 0);
  const together = timesMs.reduce((sum, at, i) => sum + (at - t) * (values[i] - v), 0);
  return spread === 0 ? 0 : (together / spread) * 60_000;
}
