import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  AGE_MAX_SECONDS,
  AGE_MIN_SECONDS,
  ATTEMPTS_MAX,
  completeRetryPolicy,
  DEFAULT_RETRY_POLICY,
  DELAY_MAX_SECONDS,
  DELAYS_MAX,
  JITTERS,
  nextTry,
  nominalDelaySeconds,
  previewTries,
  retryDelaySeconds,
  retryPolicyProblems,
} from './retry-policy.js';
import type { RetryPolicy, RetryPolicyInput } from './retry-policy.js';

const random = (value: number) => ({ next: () => value, bytes: (n: number) => new Uint8Array(n) });
const chance = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });

const seconds = fc.oneof(fc.nat(DELAY_MAX_SECONDS), fc.double({ min: 0, max: 60, noNaN: true }));
const bounds = fc.record(
  {
    jitter: fc.constantFrom(...JITTERS),
    attemptsMax: fc.integer({ min: 1, max: ATTEMPTS_MAX }),
    ageMaxSeconds: fc.integer({ min: AGE_MIN_SECONDS, max: AGE_MAX_SECONDS }),
    timeoutSeconds: fc.integer({ min: 1, max: 30 }),
    retryClientErrors: fc.boolean(),
  },
  { requiredKeys: [] },
);
const delays: fc.Arbitrary<Record<string, unknown>> = fc.oneof(
  fc.record({
    type: fc.constant('schedule'),
    delaysSeconds: fc.array(seconds, { minLength: 1, maxLength: DELAYS_MAX }),
  }),
  fc.tuple(seconds, seconds, fc.double({ min: 1, max: 10, noNaN: true })).map(([a, b, factor]) => ({
    type: 'exponential',
    initialSeconds: Math.min(a, b),
    factor,
    maxSeconds: Math.max(a, b),
  })),
  fc.tuple(seconds, seconds, seconds).map(([a, b, incrementSeconds]) => ({
    type: 'linear',
    initialSeconds: Math.min(a, b),
    incrementSeconds,
    maxSeconds: Math.max(a, b),
  })),
  fc.record({ type: fc.constant('fixed'), delaySeconds: seconds }),
);
const inputs = fc
  .tuple(delays, bounds)
  .map(([some, others]) => ({ ...some, ...others }) as unknown as RetryPolicyInput);
const policies = inputs.map(completeRetryPolicy);

const capOf = (policy: RetryPolicy) => ('maxSeconds' in policy ? policy.maxSeconds : DELAY_MAX_SECONDS);

describe('DEFAULT_RETRY_POLICY', () => {
  it('gives 13 tries in about 3.2 days', () => {
    const tries = previewTries(DEFAULT_RETRY_POLICY);
    expect(tries).toHaveLength(13);
    expect(tries[0]).toEqual({ n: 1, earliestSeconds: 0, nominalSeconds: 0, latestSeconds: 0 });
    expect(tries[1]).toEqual({ n: 2, earliestSeconds: 2.5, nominalSeconds: 5, latestSeconds: 7.5 });
    const days = tries[12].nominalSeconds / 86400;
    expect(days > 3.1 && days < 3.3).toBe(true);
    // Its unluckiest run still ends within the age: nobody's 13th try is lost to chance.
    expect(tries[12].latestSeconds).toBeLessThan(DEFAULT_RETRY_POLICY.ageMaxSeconds);
  });

  it('is what it would be completed to, and has no problems', () => {
    const { type, delaysSeconds } = DEFAULT_RETRY_POLICY;
    expect(completeRetryPolicy({ type, delaysSeconds })).toEqual(DEFAULT_RETRY_POLICY);
    expect(retryPolicyProblems(DEFAULT_RETRY_POLICY)).toEqual([]);
  });

  it('spreads each delay over half to one and a half, then ends', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), chance, (triesDone, at) => {
        const delay = retryDelaySeconds(DEFAULT_RETRY_POLICY, triesDone, random(at));
        const planned = DEFAULT_RETRY_POLICY.delaysSeconds[triesDone - 1];
        if (planned === undefined) expect(delay).toBeNull();
        else expect(delay! >= planned * 0.5 && delay! <= planned * 1.5).toBe(true);
      }),
    );
  });
});

describe('nominalDelaySeconds', () => {
  const first = (policy: RetryPolicyInput) =>
    [0, 1, 2, 3, 4, 99].map((done) => nominalDelaySeconds(completeRetryPolicy(policy), done));

  it.each<[RetryPolicyInput, number[]]>([
    [{ type: 'schedule', delaysSeconds: [1, 9, 4] }, [0, 1, 9, 4, 4, 4]],
    [{ type: 'exponential', initialSeconds: 3 }, [0, 3, 6, 12, 24, 86_400]],
    [{ type: 'exponential', initialSeconds: 3, factor: 10, maxSeconds: 500 }, [0, 3, 30, 300, 500, 500]],
    [{ type: 'linear', initialSeconds: 10, incrementSeconds: 5, maxSeconds: 100 }, [0, 10, 15, 20, 25, 100]],
    [{ type: 'fixed', delaySeconds: 7 }, [0, 7, 7, 7, 7, 7]],
  ])('%j gives %j', (policy, expected) => expect(first(policy)).toEqual(expected));
});

describe('completeRetryPolicy', () => {
  it('gives a schedule one try for each delay and the first, the others 13', () => {
    expect(completeRetryPolicy({ type: 'schedule', delaysSeconds: [1, 2] })).toMatchObject({
      attemptsMax: 3,
      jitter: 'proportional',
    });
    expect(
      completeRetryPolicy({ type: 'schedule', delaysSeconds: Array<number>(100).fill(1) }).attemptsMax,
    ).toBe(100);
    expect(completeRetryPolicy({ type: 'fixed', delaySeconds: 1 })).toEqual({
      type: 'fixed',
      delaySeconds: 1,
      jitter: 'equal',
      attemptsMax: 13,
      ageMaxSeconds: 604_800,
      retryClientErrors: false,
    });
  });

  it('keeps what is given, passes its own check, and is a fixed point', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        expect(retryPolicyProblems(input)).toEqual([]);
        const policy = completeRetryPolicy(input);
        expect(policy).toMatchObject(input);
        expect(retryPolicyProblems(policy)).toEqual([]);
        expect(completeRetryPolicy(policy)).toEqual(policy);
      }),
    );
  });
});

describe('nextTry', () => {
  const retryAfter = fc.option(fc.oneof(fc.nat(200_000), fc.nat(60)));

  it('is never earlier than allowed, never later than the cap, and always ends', () => {
    fc.assert(
      fc.property(policies, fc.array(fc.tuple(chance, retryAfter)), (policy, luck) => {
        let ageSeconds = 0;
        let triesDone = 0;
        for (;;) {
          triesDone++;
          const [at, retryAfterSeconds] = luck[triesDone % (luck.length || 1)] ?? [0, null];
          const next = nextTry(policy, { triesDone, ageSeconds, retryAfterSeconds }, random(at));
          if (next.kind === 'give_up') {
            expect(next.because === 'attempts_exhausted').toBe(triesDone === policy.attemptsMax);
            break;
          }
          const asked = Math.min(retryAfterSeconds ?? 0, 86_400);
          const nominal = nominalDelaySeconds(policy, triesDone);
          expect(next.inSeconds).toBeGreaterThanOrEqual(asked);
          expect(next.inSeconds).toBeGreaterThanOrEqual(
            { none: nominal, full: 0, equal: nominal / 2, proportional: nominal / 2 }[policy.jitter],
          );
          expect(next.inSeconds).toBeLessThanOrEqual(
            Math.max(Math.min(nominal * 1.5, capOf(policy)), Math.min(asked * 1.1, 86_400)),
          );
          const planned = retryDelaySeconds(policy, triesDone, random(at))!;
          expect(next.reason).toBe(asked > planned ? 'retry_after' : 'retry_schedule');
          ageSeconds += next.inSeconds;
          expect(ageSeconds).toBeLessThanOrEqual(policy.ageMaxSeconds);
          expect(triesDone).toBeLessThan(policy.attemptsMax);
        }
        expect(triesDone).toBeLessThanOrEqual(policy.attemptsMax);
      }),
      { numRuns: 500 },
    );
  });

  it('waits for what the receiver asks, a little spread, at most a day', () => {
    const after = (retryAfterSeconds: number, at = 0) =>
      nextTry(DEFAULT_RETRY_POLICY, { triesDone: 1, ageSeconds: 0, retryAfterSeconds }, random(at));
    expect(after(120)).toEqual({ kind: 'retry', inSeconds: 120, reason: 'retry_after' });
    expect(after(120, 0.5)).toEqual({ kind: 'retry', inSeconds: 126, reason: 'retry_after' });
    expect(after(1)).toEqual({ kind: 'retry', inSeconds: 2.5, reason: 'retry_schedule' });
    expect(after(1e9, 0.9)).toEqual({ kind: 'retry', inSeconds: 86_400, reason: 'retry_after' });
  });

  it('gives up rather than come late', () => {
    const old = { triesDone: 1, ageSeconds: 604_799, retryAfterSeconds: null };
    expect(nextTry(DEFAULT_RETRY_POLICY, old, random(0))).toEqual({ kind: 'give_up', because: 'too_old' });
    const spent = { ...old, triesDone: 13 };
    expect(nextTry(DEFAULT_RETRY_POLICY, spent, random(0))).toMatchObject({ because: 'attempts_exhausted' });
  });

  it('brings ten thousand failures of one second back with a peak of at most three times the mean', () => {
    let chanceOf = 0;
    const even = { ...random(0), next: () => (chanceOf = (chanceOf + 0.618034) % 1) };
    const perSecond = new Map<number, number>();
    for (let i = 0; i < 10_000; i++) {
      const next = nextTry(
        DEFAULT_RETRY_POLICY,
        { triesDone: 2, ageSeconds: 5, retryAfterSeconds: null },
        even,
      );
      const second = Math.floor(next.kind === 'retry' ? next.inSeconds : -1);
      perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
    }
    expect(Math.max(...perSecond.values())).toBeLessThanOrEqual((3 * 10_000) / perSecond.size);
  });
});

describe('previewTries', () => {
  it('holds every run that may happen', () => {
    fc.assert(
      fc.property(policies, chance, (policy, at) => {
        const tries = previewTries(policy);
        let ageSeconds = 0;
        tries.forEach((each, i) => {
          expect(each.n).toBe(i + 1);
          expect(each.earliestSeconds).toBeLessThanOrEqual(each.nominalSeconds);
          expect(each.latestSeconds).toBeLessThanOrEqual(policy.ageMaxSeconds);
          if (i > 0) ageSeconds += retryDelaySeconds(policy, i, random(at))!;
          if (ageSeconds > policy.ageMaxSeconds) return;
          expect(ageSeconds).toBeGreaterThanOrEqual(each.earliestSeconds - 1e-6);
          expect(ageSeconds).toBeLessThanOrEqual(each.latestSeconds + 1e-6);
        });
        expect(tries.length >= 1 && tries.length <= policy.attemptsMax).toBe(true);
      }),
    );
  });

  it('stops at the age', () => {
    const policy = completeRetryPolicy({
      type: 'fixed',
      delaySeconds: 50,
      ageMaxSeconds: 120,
      jitter: 'none',
    });
    expect(previewTries(policy).map(({ nominalSeconds }) => nominalSeconds)).toEqual([0, 50, 100]);
  });
});

describe('retryPolicyProblems', () => {
  const fixed = { type: 'fixed', delaySeconds: 1 };
  it.each<[unknown, string]>([
    [null, ''],
    [[], ''],
    ['fixed', ''],
    [{}, '/type'],
    [{ type: 'toString' }, '/type'],
    [{ type: 'fixed' }, '/delaySeconds'],
    [{ type: 'linear', initialSeconds: 1 }, '/incrementSeconds'],
    [{ ...fixed, delaysSeconds: [1] }, '/delaysSeconds'],
    [{ ...fixed, factor: 2 }, '/factor'],
    [{ ...fixed, atemptsMax: 2 }, '/atemptsMax'],
    [{ ...fixed, 'a/b~c': 2 }, '/a~1b~0c'],
    [{ ...fixed, toString: 2 }, '/toString'],
    [{ ...fixed, delaySeconds: -1 }, '/delaySeconds'],
    [{ ...fixed, delaySeconds: '1' }, '/delaySeconds'],
    [{ ...fixed, delaySeconds: null }, '/delaySeconds'],
    [{ ...fixed, delaySeconds: NaN }, '/delaySeconds'],
    [{ ...fixed, delaySeconds: Infinity }, '/delaySeconds'],
    [{ ...fixed, delaySeconds: DELAY_MAX_SECONDS + 1 }, '/delaySeconds'],
    [{ ...fixed, attemptsMax: 0 }, '/attemptsMax'],
    [{ ...fixed, attemptsMax: 101 }, '/attemptsMax'],
    [{ ...fixed, attemptsMax: 1.5 }, '/attemptsMax'],
    [{ ...fixed, ageMaxSeconds: 59 }, '/ageMaxSeconds'],
    [{ ...fixed, ageMaxSeconds: 2_592_001 }, '/ageMaxSeconds'],
    [{ ...fixed, timeoutSeconds: 31 }, '/timeoutSeconds'],
    [{ ...fixed, retryClientErrors: 1 }, '/retryClientErrors'],
    [{ ...fixed, jitter: 'some' }, '/jitter'],
    [{ type: 'schedule', delaysSeconds: [] }, '/delaysSeconds'],
    [{ type: 'schedule', delaysSeconds: Array(101).fill(1) }, '/delaysSeconds'],
    [{ type: 'schedule', delaysSeconds: [1, -1] }, '/delaysSeconds/1'],
    [{ type: 'exponential', initialSeconds: 1, factor: 0.9 }, '/factor'],
    [{ type: 'exponential', initialSeconds: 10, maxSeconds: 5 }, '/maxSeconds'],
  ])('%j is wrong at %j', (value, pointer) => {
    expect(retryPolicyProblems(value).map((each) => each.pointer)).toEqual([pointer]);
  });

  it('never throws, and never writes a list without an end', () => {
    fc.assert(fc.property(fc.anything(), (value) => retryPolicyProblems(value).length > 0));
    const wide = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`x${i}`, 1]));
    expect(retryPolicyProblems({ ...fixed, ...wide })).toHaveLength(20);
    expect(retryPolicyProblems({ type: 'schedule', delaysSeconds: Array(100).fill('') })).toHaveLength(20);
  });
});
