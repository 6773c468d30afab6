import { expect, it } from 'vitest';
import { manualClock } from './clock.js';
import { seededRandom, systemRandom } from './random.js';

it('hands out every byte once', () => {
  const first = systemRandom.bytes(16);
  const copy = Uint8Array.from(first);
  const seen = new Set<string>();
  for (let i = 0; i < 5000; i++) seen.add(Buffer.from(systemRandom.bytes(16)).toString('hex'));
  expect(seen.size).toBe(5000);
  expect(first).toEqual(copy);
});

it('gives as many bytes as asked, also more than its pool', () => {
  for (const n of [0, 1, 32, 1024, 1025, 100_000]) expect(systemRandom.bytes(n)).toHaveLength(n);
});

it('repeats itself from a seed, in [0, 1)', () => {
  const [a, b] = [seededRandom(1), seededRandom(1)];
  for (let i = 0; i < 1000; i++) {
    const value = a.next();
    expect(value).toBe(b.next());
    expect(value >= 0 && value < 1).toBe(true);
  }
});

it('a manual clock moves only when told', () => {
  const clock = manualClock('2026-11-22T00:00:00Z');
  clock.advance(1500);
  expect(clock.now().toISOString()).toBe('2026-11-22T00:00:01.500Z');
});
