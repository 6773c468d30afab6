import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide, ticketPriority, TRIGGERS } from './delivery-state.js';
import type { AttemptOutcome, DeliveryHistory } from './delivery-state.js';
import { FAILURE_CLASSES, FAILURES } from './failure.js';
import { DEFAULT_RETRY_POLICY } from './retry-policy.js';
import type { RetryPolicy } from './retry-policy.js';

const random = (value: number) => ({ next: () => value, bytes: (n: number) => new Uint8Array(n) });
const chance = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });

function decided(
  outcome: Partial<AttemptOutcome>,
  history: Partial<DeliveryHistory> = {},
  policy: Partial<RetryPolicy> = {},
  at = 0.5,
) {
  return decide(
    { failure: null, retryAfterSeconds: null, directive: null, ...outcome },
    { triesDone: 1, platformFaults: 0, ageSeconds: 0, ...history },
    { ...DEFAULT_RETRY_POLICY, ...policy } as RetryPolicy,
    random(at),
  );
}

describe('decide', () => {
  it('delivers on success, whatever came before, and disables when asked to', () => {
    expect(decided({}, { triesDone: 13, ageSeconds: 1e9 })).toEqual({ status: 'delivered' });
    expect(decided({ directive: 'abort-message' })).toEqual({ status: 'delivered' });
    expect(decided({ directive: 'disable' })).toEqual({ status: 'delivered', disable: 'receiver_asked' });
  });

  it('retries what a receiver did until its tries are spent', () => {
    const retried = { status: 'pending', retryInSeconds: 5, reason: 'retry_schedule' };
    expect(decided({ failure: 'http_5xx' })).toEqual(retried);
    const spent = { status: 'failed', failure: 'http_5xx', gaveUp: 'attempts_exhausted' };
    expect(decided({ failure: 'http_5xx' }, { triesDone: 13 })).toEqual(spent);
    const old = { status: 'failed', failure: 'http_5xx', gaveUp: 'too_old' };
    expect(decided({ failure: 'http_5xx' }, { ageSeconds: 604_796 })).toEqual(old);
  });

  it('waits for a Retry-After', () => {
    const asked = { failure: 'rate_limited_429', retryAfterSeconds: 100 } as const;
    expect(decided(asked, {}, { jitter: 'none' })).toEqual({
      status: 'pending',
      retryInSeconds: 100,
      reason: 'retry_after',
    });
  });

  it('fails at once what trying again cannot help, unless the endpoint wants its 4xx again', () => {
    const permanent = FAILURE_CLASSES.filter((failure) => FAILURES[failure].action === 'permanent');
    for (const failure of permanent) {
      const gaveUp =
        { expired: 'too_old', receiver_abort: 'receiver_abort' }[failure as string] ?? 'permanent';
      expect(decided({ failure })).toEqual({ status: 'failed', failure, gaveUp });
    }
    const again = permanent.filter(
      (failure) => decided({ failure }, {}, { retryClientErrors: true }).status === 'pending',
    );
    expect(again.toSorted()).toEqual(['http_4xx', 'payload_too_large_413']);
  });

  it('disables what is gone, whatever the policy', () => {
    expect(
      decided({ failure: 'gone_410', directive: 'abort-message' }, {}, { retryClientErrors: true }),
    ).toEqual({ status: 'failed', failure: 'gone_410', gaveUp: 'permanent', disable: 'gone_410' });
  });

  it('obeys the receiver', () => {
    expect(decided({ failure: 'http_5xx', directive: 'abort-message' })).toEqual({
      status: 'failed',
      failure: 'receiver_abort',
      gaveUp: 'receiver_abort',
    });
    expect(decided({ failure: 'http_5xx', directive: 'disable' })).toEqual({
      status: 'failed',
      failure: 'http_5xx',
      gaveUp: 'receiver_abort',
      disable: 'receiver_asked',
    });
    // No answer was read when the fault is ours: nobody can have asked.
    expect(decided({ failure: 'internal', directive: 'disable' }).status).toBe('pending');
  });

  it('waits longer after each fault of ours, ten minutes at most, and gives up after a thousand or by age', () => {
    const waits = [0, 1, 2, 6, 100].map((platformFaults) => {
      const decision = decided({ failure: 'internal' }, { triesDone: 0, platformFaults });
      return decision.status === 'pending' && decision.retryInSeconds;
    });
    expect(waits).toEqual([10, 20, 40, 640, 640]);
    const failed = { status: 'failed', failure: 'internal' };
    const thousand = decided({ failure: 'internal' }, { platformFaults: 1000 });
    expect(thousand).toEqual({ ...failed, gaveUp: 'platform_faults' });
    const old = decided({ failure: 'internal' }, { ageSeconds: 604_795 });
    expect(old).toEqual({ ...failed, gaveUp: 'too_old' });
  });

  it('every failure ends as its class says', () => {
    for (const failure of FAILURE_CLASSES) {
      fc.assert(
        fc.property(fc.integer({ min: 1, max: 30 }), chance, (triesDone, at) => {
          const decision = decided({ failure }, { triesDone }, {}, at);
          const { action, chargeTo } = FAILURES[failure];
          if (chargeTo === 'platform') expect(decision).toMatchObject({ reason: 'platform_fault' });
          else if (action === 'retry') expect(decision.status).toBe(triesDone < 13 ? 'pending' : 'failed');
          else expect(decision.status).toBe('failed');
          expect('disable' in decision).toBe(action === 'disable');
          if (decision.status === 'pending') expect(decision.retryInSeconds).toBeGreaterThan(0);
        }),
        { numRuns: 30 },
      );
    }
  });
});

it('serves what is new before what is late, critical first', () => {
  const of = (critical: boolean) =>
    TRIGGERS.map((trigger) => [trigger, ticketPriority({ critical, trigger })]);
  expect(of(true)).toEqual([
    ['event', 2],
    ['retry', 0],
    ['resend', 2],
    ['replay', 0],
    ['test', 2],
  ]);
  expect(of(false).map(([, priority]) => priority)).toEqual([1, 0, 1, 0, 1]);
});
