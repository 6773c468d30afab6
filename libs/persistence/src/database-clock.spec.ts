/** Pure. Proves: of several answers the quickest is believed, wherever it stands; the others waited, and nobody knows on which side. */
import { expect, it } from 'vitest';
import { DatabaseClock } from './database-clock.js';

// The database's clock is this far ahead of the monotonic one.
const AHEAD_MS = 5000;

it.each([[[60, 2, 40]], [[2, 60, 40]], [[40, 60, 2]]])(
  'believes the quickest of answers that took %s ms',
  async (tookMs) => {
    let atMs = 100;
    const left = [...tookMs];
    const query = async (text: string): Promise<unknown[]> => {
      if (!text.includes('clock_timestamp')) return [];
      // All of it on the way back.
      const now = atMs + AHEAD_MS;
      atMs += left.shift()!;
      return [{ now }];
    };
    const clock = new DatabaseClock({ query: query as never }, { now: () => new Date(atMs) }, () => atMs);
    await clock.measure();
    expect(left).toEqual([]);
    expect(clock.now().getTime() - atMs).toBe(AHEAD_MS - 1);
  },
);
