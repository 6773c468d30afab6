/** Pure. Proves: a claim begins later only where a whole look has just shown that all in front is of endpoints that it leaves out, too. */
import { beforeEach, expect, it } from 'vitest';
import { QueueFront } from './queue-front.js';

const FIRSTS = { priorityMin: 1 } as const;
const EPOCH_MS = Date.UTC(2026, 10, 28);
let nowMs: number;
let front: QueueFront;
beforeEach(() => {
  nowMs = 1000;
  front = new QueueFront(() => nowMs, { now: () => new Date(EPOCH_MS + nowMs) });
});

/** A claim that takes so long; answers how many milliseconds before it was asked its queue began, or null. */
function claim(
  except: string[],
  { of = FIRSTS, full = false, tookMs = 1 }: { of?: object; full?: boolean; tookMs?: number } = {},
): number | null {
  const beginning = front.beginning(of, except);
  const askedAtMs = nowMs;
  nowMs += tookMs;
  front.ended(beginning, full);
  return beginning.since && EPOCH_MS + askedAtMs - beginning.since.getTime();
}

it('begins where the last one ended, less the time that a commit may take', () => {
  expect(claim(['a'])).toBeNull();
  nowMs += 99;
  expect(claim(['a'])).toBe(350);
  expect(claim(['a', 'b'])).toBe(251);
});

it('begins at the beginning for who was left out and is not any more', () => {
  claim(['a', 'b']);
  expect(claim(['a'], { full: true })).toBeNull();
  expect(claim(['b', 'c'], { full: true })).toBeNull();
  // What is known of those two is still true.
  expect(claim(['b', 'a', 'c'])).not.toBeNull();
  expect(claim(['a', 'b'])).toBeNull();
});

it('learns nothing of a claim that was full, or that left out nobody', () => {
  claim(['a'], { full: true });
  expect(claim(['a'])).toBeNull();
  const other = { of: { priorityMin: 2 } };
  claim([], other);
  expect(claim([], other)).toBeNull();
});

it('looks at all of it four times a second, however many begin later', () => {
  const whole: number[] = [];
  for (; nowMs < 2000; nowMs += 9) {
    const askedAtMs = nowMs;
    if (claim(['a']) === null) whole.push(askedAtMs);
  }
  expect(whole).toEqual([1000, 1260, 1520, 1780]);
});

it('looks less often when that takes long, but once a second', () => {
  claim(['a'], { tookMs: 50 });
  nowMs += 440;
  expect(claim(['a'])).not.toBeNull();
  nowMs += 20;
  expect(claim(['a'], { tookMs: 900 })).toBeNull();
  nowMs += 90;
  expect(claim(['a'])).not.toBeNull();
  nowMs += 20;
  expect(claim(['a'])).toBeNull();
});

it('keeps kinds apart, and knows nothing of retries, which come due in another order', () => {
  claim(['a'], { of: { priorityMin: 2 } });
  expect(claim(['a'])).toBeNull();
  expect(claim(['a'], { of: { priorityMin: 1, priorityMax: 1 } })).toBeNull();
  expect(claim(['a'], { of: { priorityMin: 2 } })).not.toBeNull();
  for (const of of [{ priorityMax: 0 }, {}]) {
    claim(['a'], { of });
    expect(claim(['a'], { of })).toBeNull();
  }
});

it('is as old as the look that it rests on, whatever ends meanwhile', () => {
  claim(['b']);
  nowMs += 200;
  const late = front.beginning(FIRSTS, ['b']);
  expect(late.since).not.toBeNull();
  claim(['a']);
  front.ended(late, false);
  nowMs = late.untilMs;
  expect(claim(['b'], { full: true })).not.toBeNull();
  nowMs += 1;
  expect(claim(['b'], { full: true })).toBeNull();
});
