import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { KeptKeys } from './kept-keys.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const made: string[] = [];
function keys(generationMax = 10) {
  made.length = 0;
  return new KeptKeys({ generationMax, generationMs: 1000 }, (secret) => (made.push(secret), { secret }));
}

it('makes a key once, however long its secret signs', () => {
  const kept = keys();
  const first = kept.of('a');
  for (let second = 0; second < 100; second++) {
    vi.advanceTimersByTime(1000);
    expect(kept.of('a')).toBe(first);
  }
  expect(made).toEqual(['a']);
});

it('forgets a secret that signs no more within two generations, beside one that does and when nothing is signed', () => {
  const kept = keys();
  for (const secret of ['rotated', 'busy', 'rotated']) kept.of(secret);
  for (let ms = 0; ms < 2000; ms += 100) {
    kept.of('busy');
    vi.advanceTimersByTime(100);
  }
  expect(kept).toMatchObject({ older: new Map([['busy', { secret: 'busy' }]]), recent: new Map() });
  vi.advanceTimersByTime(2000);
  expect(kept).toMatchObject({ older: new Map(), recent: new Map(), aging: undefined });
  expect(vi.getTimerCount()).toBe(0);
  kept.of('rotated');
  expect(made).toEqual(['rotated', 'busy', 'rotated']);
});

it('holds two generations at most, those that signed last', () => {
  const kept = keys(3);
  for (let n = 0; n < 100; n++) kept.of(String(n));
  made.length = 0;
  for (const secret of ['97', '98', '99', '0']) kept.of(secret);
  expect(made).toEqual(['0']);
  const { recent, older } = kept as unknown as Record<'recent' | 'older', Map<string, unknown>>;
  expect(recent.size + older.size).toBeLessThanOrEqual(6);
  expect(vi.getTimerCount()).toBe(1);
});

it('keeps nothing of a secret that is none', () => {
  const kept = new KeptKeys({ generationMax: 10, generationMs: 1000 }, () => {
    throw new Error('no secret');
  });
  expect(() => kept.of('x')).toThrow('no secret');
  expect(vi.getTimerCount()).toBe(0);
});
