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
