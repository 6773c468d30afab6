import type { Random } from './random.js';

/**
 * When each try is due, counted from the end of the one before; the first entry is the first try itself. 13 tries over
 * 3.2 days: long enough for a customer's on-call to sleep through a weekend night and still receive everything, short
 * enough that a dead endpoint stops costing us. The numbers behind it: resilience notes 5.1.
 */
export const DEFAULT_SCHEDULE_SECONDS: readonly number[] = [
  0, 5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 86400,
];

/**
 * Seconds until the next try after `triesDone` tries, or null when the schedule is spent.
 *
 * Every delay is spread over 0.5 to 1.5 of itself: an outage that failed ten thousand deliveries in the same second must
 * not bring them all back in the same second. (Svix's ±20 % is too narrow for such a herd.)
 */
export function nextRetryDelaySeconds(
  triesDone: number,
  random: Random,
  scheduleSeconds: readonly number[] = DEFAULT_SCHEDULE_SECONDS,
): number | null {
  const delaySeconds = scheduleSeconds[triesDone];
  return delaySeconds === undefined ? null : jittered(delaySeconds, random);
}

export function jittered(seconds: number, random: Random): number {
  return seconds * (0.5 + random.next());
}
