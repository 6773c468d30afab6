import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Generations } from './generations.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('keeps what is asked for, and lets the rest go within two generations, also when nobody asks for anything', () => {
  const kept = new Generations<number>(10, 1000);
  kept.set('used', 1);
  kept.set('left', 2);
  for (let ms = 0; ms < 2000; ms += 100) {
    expect(kept.get('used')).toBe(1);
    vi.advanceTimersByTime(100);
  }
  expect(kept).toMatchObject({ older: new Map([['used', 1]]), recent: new Map() });
  vi.advanceTimersByTime(2000);
  expect(kept).toMatchObject({ older: new Map(), recent: new Map() });
  expect(vi.getTimerCount()).toBe(0);
  expect(kept.get('used')).toBeUndefined();
});

it('holds two generations at most, and nothing of what was deleted', () => {
  const kept = new Generations<number>(3, 1000);
  for (let n = 0; n < 100; n++) kept.set(String(n), n);
  const { recent, older } = kept as unknown as Record<'recent' | 'older', Map<string, number>>;
  expect([...older.keys(), ...recent.keys()]).toEqual(
    ['96', '97', '98', '99'].slice(-(older.size + recent.size)),
  );
  kept.get('97');
  kept.delete('97');
  expect(kept.get('97')).toBeUndefined();
  expect(vi.getTimerCount()).toBe(1);
});
