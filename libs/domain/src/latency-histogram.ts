/**
 * How long requests took, counted in classes: small enough to be kept for every endpoint and five minutes, and to be
 * added up. A quantile read from it is off by less than the width of a class.
 */

// A factor of 1.61 from one bound to the next: 24 classes from a millisecond to a minute, and nobody who asks for a p95
// can tell 160 ms from 200 ms by hand.
const FIRST_MS = 1;
const LAST_MS = 60_000;
const BOUNDS = 24;
const FACTOR = (LAST_MS / FIRST_MS) ** (1 / (BOUNDS - 1));

/** The upper bound of each class, inclusive. What took longer than the last is counted in one class more. */
export const LATENCY_BOUNDS_MS: readonly number[] = Array.from(
  { length: BOUNDS },
  (_, n) => Math.round(FIRST_MS * FACTOR ** n * 10) / 10,
);
export const LATENCY_CLASSES = BOUNDS + 1;

/** Counts per class, nothing counted yet. */
export function emptyLatencies(): number[] {
  return Array.from({ length: LATENCY_CLASSES }, () => 0);
}

/** Counts one request. Changes `counts`: it is called for every attempt. */
export function addLatency(counts: number[], ms: number): void {
  let at = 0;
  while (at < BOUNDS && ms > LATENCY_BOUNDS_MS[at]) at++;
  counts[at]++;
}

/** The sum of two. */
export function sumLatencies(a: readonly number[], b: readonly number[]): number[] {
  return emptyLatencies().map((_, at) => (a[at] ?? 0) + (b[at] ?? 0));
}

/**
 * What so many of the requests took at most, 0 < share <= 1: within a class evenly spread. Null when nothing was counted;
 * the last bound for what took longer.
 */
export function latencyQuantileMs(counts: readonly number[], share: number): number | null {
  const total = counts.reduce((sum, n) => sum + n, 0);
  if (total === 0) return null;
  const wanted = share * total;
  let below = 0;
  for (let at = 0; at < BOUNDS; at++) {
    const here = counts[at] ?? 0;
    if (here > 0 && below + here >= wanted) {
      const low = at === 0 ? 0 : LATENCY_BOUNDS_MS[at - 1];
      const ms = low + ((LATENCY_BOUNDS_MS[at] - low) * (wanted - below)) / here;
      return Math.round(ms * 10) / 10;
    }
    below += here;
  }
  return LATENCY_BOUNDS_MS[BOUNDS - 1];
}
