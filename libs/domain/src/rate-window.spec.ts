import type { RateLimit } from './rate.js';
import { expect, it } from 'vitest';
import { windowForRate } from './rate.js';

it.each<[RateLimit | null, number]>([
  [null, 2000],
  [{ algorithm: 'leaky_bucket', limit: 1, per: 86_400 }, 1],
  [{ algorithm: 'leaky_bucket', limit: 100, per: 60 }, 4],
  [{ algorithm: 'token_bucket', limit: 100, per: 60, burst: 20 }, 24],
  // Its burst is its limit when nobody said otherwise.
  [{ algorithm: 'token_bucket', limit: 100, per: 60 }, 104],
  [{ algorithm: 'fixed_window', limit: 10, per: 1 }, 20],
  [{ algorithm: 'sliding_window', limit: 100_000, per: 1 }, 2000],
])('a lane with the limit %j has %i places', (limit, places) => expect(windowForRate(limit)).toBe(places));
