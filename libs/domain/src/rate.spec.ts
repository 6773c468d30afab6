import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  RATE_ALGORITHMS,
  RATE_HORIZON_MAX_MS,
  RATE_LIMIT_MAX,
  rateLimitProblems,
  takeSlots,
} from './rate.js';
import type { RateAlgorithm, RateLimit, RateState } from './rate.js';

const NOW = Date.parse('2026-11-22T00:00:00Z');
const limitOf = (algorithm: RateAlgorithm, limit: number, per: number, burst?: number): RateLimit =>
  burst === undefined || algorithm !== 'token_bucket'
    ? { algorithm, limit, per }
    : { algorithm, limit, per, burst };

describe('takeSlots', () => {
  it.each<[RateLimit, number[]]>([
    // Two at once, then one each 100 ms.
    [limitOf('token_bucket', 10, 1, 2), [0, 0, 100, 200, 300]],
    [limitOf('leaky_bucket', 10, 1), [0, 100, 200, 300, 400]],
    [limitOf('fixed_window', 2, 1), [0, 0, 1000, 1000, 2000]],
    [limitOf('sliding_window', 2, 1), [0, 0, 1000, 1000, 2000]],
  ])('%j', (limit, expected) => {
    const { slots } = takeSlots(limit, null, NOW, 5, 5000);
    expect(slots.map((slot) => Math.round(slot * 1000) / 1000)).toEqual(expected);
  });

  it("a fixed window is the clock's, a sliding one the traffic's", () => {
    const nine = NOW + 900;
    expect(takeSlots(limitOf('fixed_window', 2, 1), null, nine, 4, 500).slots).toEqual([0, 0, 100, 100]);
    expect(takeSlots(limitOf('sliding_window', 2, 1), null, nine, 4, 500).slots).toEqual([0, 0]);
  });

  it.each(RATE_ALGORITHMS)('%s: what is not given changes nothing, and its time is told', (algorithm) => {
    const limit = limitOf(algorithm, 2, 60);
    const first = takeSlots(limit, null, NOW, 2, 60_000);
    const again = takeSlots(limit, first.state, NOW, 5, 0);
    expect(again.slots).toEqual([]);
    expect(again.state).toEqual(first.state);
    expect(takeSlots(limit, first.state, NOW, 1, 100_000).slots).toEqual([again.nextInMs]);
    expect(takeSlots(limit, first.state, NOW + again.nextInMs, 1, 0).slots).toEqual([0]);
  });

  it.each(RATE_ALGORITHMS)('%s: a lowered rate gives less, and no burst when it is raised', (algorithm) => {
    const limit = limitOf(algorithm, 100, 10);
    const inTen = (factor: number) => {
      let state: RateState | null = takeSlots(limit, null, NOW, 1000, 10_000).state;
      let n = 0;
      for (let ms = 30_000; ms < 130_000; ms += 100) {
        const taken = takeSlots(limit, state, NOW + ms, 100, 0, factor);
        ({ state } = taken);
        n += taken.slots.length;
      }
      return n;
    };
    expect(inTen(0.1)).toBeGreaterThanOrEqual(90);
    expect(inTen(0.1)).toBeLessThanOrEqual(120);
    expect(inTen(1)).toBeGreaterThan(900);
    // Never nothing at all: a limit of one is not lowered to none, where the algorithm counts whole slots.
    expect(takeSlots(limitOf(algorithm, 1, 1), null, NOW, 1, 0, 1 / 64).slots).toEqual([0]);
  });

  it.each(RATE_ALGORITHMS)('%s: a clock that is set back stops nobody', (algorithm) => {
    const limit = limitOf(algorithm, 1, 1);
    const ahead = takeSlots(limit, null, NOW + 86_400_000, 3, 10_000).state;
    expect(takeSlots(limit, ahead, NOW, 1, 5000).slots).toHaveLength(1);
  });

  it('a sliding window forgets neighbours late, never early', () => {
    // 50 at 0 s and 50 at 0.9 s share a sixtieth of the minute: none may be replaced before 60.9 s.
    const limit = limitOf('sliding_window', 100, 60);
    const first = takeSlots(limit, null, NOW, 50, 0).state;
    const full = takeSlots(limit, first, NOW + 900, 50, 0).state;
    expect(full).toEqual({ kind: 'sliding', grants: [[NOW + 900, 100]] });
    expect(takeSlots(limit, full, NOW + 60_000, 100, 0)).toMatchObject({ slots: [], nextInMs: 900 });
  });

  it('is exact at the highest rate, whatever the year', () => {
    const { slots } = takeSlots(limitOf('leaky_bucket', RATE_LIMIT_MAX, 1), null, NOW + 0.3, 2000, 1000);
    expect(slots.at(-1)).toBeCloseTo(19.99, 6);
    let state: RateState | null = null;
    let n = 0;
    for (let ms = 0; ms < 1000; ms += 0.7) {
      const taken = takeSlots(limitOf('leaky_bucket', RATE_LIMIT_MAX, 1), state, NOW + ms, 200, 0.69);
      ({ state } = taken);
      n += taken.slots.length;
    }
    expect(n > 0.97 * RATE_LIMIT_MAX && n <= RATE_LIMIT_MAX + 1).toBe(true);
  });

  it('a change of algorithm starts afresh, between the buckets it goes on', () => {
    const spent = takeSlots(limitOf('token_bucket', 10, 10), null, NOW, 10, 0).state;
    expect(takeSlots(limitOf('leaky_bucket', 10, 10), spent, NOW, 1, 0).slots).toEqual([]);
    expect(takeSlots(limitOf('sliding_window', 10, 10), spent, NOW, 1, 0).slots).toEqual([0]);
  });
});

const limits = fc
  .record({
    algorithm: fc.constantFrom(...RATE_ALGORITHMS),
    limit: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 50, max: 400 })),
    per: fc.constantFrom(1, 2, 7, 60),
    burst: fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }),
  })
  .map(({ algorithm, limit, per, burst }) => limitOf(algorithm, limit, per, burst));
/** What many workers ask one after the other, as parts of `per`. */
const calls = fc.array(
  fc.record({
    waitPart: fc.oneof(
      fc.constant(0),
      fc.double({ min: 0, max: 0.02, noNaN: true }),
      fc.double({ min: 0, max: 0.1, noNaN: true }),
      fc.double({ min: 0, max: 2, noNaN: true }),
    ),
    n: fc.oneof(fc.nat(5), fc.nat(500)),
    horizonPart: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 0.5, noNaN: true })),
    factor: fc.constantFrom(1, 1, 1, 0.5, 0.1, 1 / 64),
  }),
  { minLength: 1, maxLength: 60 },
);

it('no window of time ever holds more than its limit, slots only come later, and the state stays small', () => {
  fc.assert(
    fc.property(limits, calls, (limit, asked) => {
      const perMs = limit.per * 1000;
      const granted: number[] = [];
      let state: RateState | null = null;
      let now = NOW;
      for (const { waitPart, n, horizonPart, factor } of asked) {
        now += waitPart * perMs;
        const taken = takeSlots(limit, state, now, n, horizonPart * perMs, factor);
        // As the database keeps it.
        state = JSON.parse(JSON.stringify(taken.state)) as RateState;
        expect(taken.slots.length).toBeLessThanOrEqual(n);
        for (const slot of taken.slots) {
          expect(slot >= 0 && slot <= horizonPart * perMs).toBe(true);
          granted.push(now + slot);
        }
        expect(taken.nextInMs).toBeGreaterThanOrEqual(taken.slots.at(-1) ?? 0);
        if (taken.slots.length < n) expect(taken.nextInMs).toBeGreaterThan(horizonPart * perMs);
        expect(JSON.stringify(state).length).toBeLessThan(3200);
      }
      expect(granted.every((slot, i) => i === 0 || slot >= granted[i - 1] - EPSILON_MS)).toBe(true);
      expect(mostIn(granted, perMs)).toBeLessThanOrEqual(mostAllowed(limit));
      if (limit.algorithm === 'fixed_window')
        expect(mostInAligned(granted, perMs)).toBeLessThanOrEqual(limit.limit);
    }),
    { numRuns: 600 },
  );
});

it('never starves: whoever keeps asking gets almost all that the limit promises', () => {
  fc.assert(
    fc.property(limits, fc.integer({ min: 1, max: 50 }), (limit, n) => {
      const perMs = limit.per * 1000;
      let state: RateState | null = null;
      let [now, got] = [NOW, 0];
      const rounds = 20;
      while (now < NOW + rounds * perMs) {
        const taken = takeSlots(limit, state, now, n, 0);
        ({ state } = taken);
        got += taken.slots.length;
        if (taken.slots.length < n) {
          expect(taken.nextInMs).toBeGreaterThan(0);
          expect(taken.nextInMs).toBeLessThanOrEqual(perMs + EPSILON_MS);
          now += Math.max(taken.nextInMs, EPSILON_MS);
        }
      }
      expect(got).toBeGreaterThanOrEqual(Math.floor(limit.limit * rounds * 0.98) - 1);
    }),
    { numRuns: 60 },
  );
});

it('looks no further ahead than it may', () => {
  const { slots } = takeSlots(limitOf('leaky_bucket', 1, 1), null, NOW, 1000, Infinity);
  expect(slots.length).toBe(RATE_HORIZON_MAX_MS / 1000 + 1);
});

// Instants since 1970 in doubles: a thousandth of a millisecond is above their resolution, and below any receiver's.
const EPSILON_MS = 0.001;

/** The most that any half-open window of `per` holds. */
function mostIn(granted: number[], perMs: number): number {
  let [most, from] = [0, 0];
  for (let to = 0; to < granted.length; to++) {
    while (granted[to] - granted[from] >= perMs - EPSILON_MS) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

function mostInAligned(granted: number[], perMs: number): number {
  const windows = new Map<number, number>();
  for (const each of granted) {
    const window = Math.floor((each + EPSILON_MS) / perMs);
    windows.set(window, (windows.get(window) ?? 0) + 1);
  }
  return Math.max(0, ...windows.values());
}

function mostAllowed({ algorithm, limit, burst }: RateLimit): number {
  if (algorithm === 'token_bucket') return limit + (burst ?? limit);
  return algorithm === 'fixed_window' ? 2 * limit : limit;
}

describe('rateLimitProblems', () => {
  const good = { algorithm: 'token_bucket', limit: 10, per: 1 };
  it.each([
    good,
    { ...good, burst: 1, adaptive: true },
    { ...good, limit: 100_000, per: 86_400, burst: 100_000 },
    { ...good, algorithm: 'sliding_window' },
  ])('%j is fine', (value) => expect(rateLimitProblems(value)).toEqual([]));

  it.each<[unknown, string[]]>([
    [null, ['']],
    [[], ['']],
    [{}, ['/algorithm', '/limit', '/per']],
    [{ ...good, algorithm: 'toString' }, ['/algorithm']],
    [{ ...good, limit: 0 }, ['/limit']],
    [{ ...good, limit: 1.5 }, ['/limit']],
    [{ ...good, limit: '10' }, ['/limit']],
    [{ ...good, limit: 100_001 }, ['/limit']],
    [{ ...good, per: 0 }, ['/per']],
    [{ ...good, per: 86_401 }, ['/per']],
    [{ ...good, burst: 0 }, ['/burst']],
    [{ ...good, burst: null }, ['/burst']],
    [{ ...good, algorithm: 'leaky_bucket', burst: 5 }, ['/burst']],
    [{ ...good, adaptive: 'yes' }, ['/adaptive']],
    [{ ...good, brust: 5 }, ['/brust']],
  ])('%j is wrong at %j', (value, pointers) => {
    expect(rateLimitProblems(value).map(({ pointer }) => pointer)).toEqual(pointers);
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.anything(), (value) => rateLimitProblems(value).length > 0));
  });
});
