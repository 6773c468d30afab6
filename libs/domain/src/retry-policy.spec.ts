import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from './delivery-state.js';
import { FAILURE_CLASSES, FAILURES } from './failure.js';
import { DEFAULT_SCHEDULE_SECONDS, nextRetryDelaySeconds } from './retry-policy.js';

const random = (value: number) => ({ next: () => value, bytes: (n: number) => new Uint8Array(n) });
const chance = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });

describe('nextRetryDelaySeconds', () => {
  it('is the schedule, spread over half to one and a half', () => {
    fc.assert(
      fc.property(fc.nat(20), chance, (triesDone, at) => {
        const delay = nextRetryDelaySeconds(triesDone, random(at));
        const planned = DEFAULT_SCHEDULE_SECONDS[triesDone];
        if (planned === undefined) expect(delay).toBeNull();
        else expect(delay! >= planned * 0.5 && delay! <= planned * 1.5).toBe(true);
      }),
    );
  });

  it('gives up after 13 tries and about 3.2 days', () => {
    expect(DEFAULT_SCHEDULE_SECONDS).toHaveLength(13);
    expect(nextRetryDelaySeconds(12, random(0.5))).toBe(86400);
    expect(nextRetryDelaySeconds(13, random(0.5))).toBeNull();
    const days = DEFAULT_SCHEDULE_SECONDS.reduce((sum, seconds) => sum + seconds, 0) / 86400;
    expect(days).toBeGreaterThan(3.1);
    expect(days).toBeLessThan(3.3);
  });
});

const after = (triesDone: number, platformFaults = 0) => ({ triesDone, platformFaults });

describe('decide', () => {
  it('waits longer after each fault of ours, ten minutes at most, and gives up after a thousand', () => {
    const waits = [0, 1, 2, 6, 100].map((faults) =>
      decide({ failure: 'internal' }, after(0, faults), random(0.5)),
    );
    expect(waits.map((decision) => decision.status === 'pending' && decision.retryInSeconds)).toEqual([
      10, 20, 40, 640, 640,
    ]);
    expect(decide({ failure: 'internal' }, after(0, 1000), random(0.5))).toEqual({
      status: 'failed',
      failure: 'internal',
    });
  });

  it('delivers on success, whatever came before', () => {
    expect(decide({ failure: null }, after(13), random(0))).toEqual({ status: 'delivered' });
  });

  it('retries what a receiver did until the schedule is spent', () => {
    expect(decide({ failure: 'http_5xx' }, after(1), random(0.5))).toEqual({
      status: 'pending',
      retryInSeconds: 5,
      reason: 'retry_schedule',
    });
    expect(decide({ failure: 'http_5xx' }, after(13), random(0.5))).toEqual({
      status: 'failed',
      failure: 'http_5xx',
    });
  });

  it('every failure ends as its charge says', () => {
    for (const failure of FAILURE_CLASSES) {
      fc.assert(
        fc.property(fc.integer({ min: 1, max: 30 }), chance, (triesDone, at) => {
          const decision = decide({ failure }, after(triesDone), random(at));
          const { chargeTo } = FAILURES[failure];
          if (chargeTo === 'config') expect(decision).toEqual({ status: 'failed', failure });
          else if (chargeTo === 'platform') expect(decision).toMatchObject({ reason: 'platform_fault' });
          else expect(decision.status).toBe(triesDone < 13 ? 'pending' : 'failed');
          if (decision.status === 'pending') expect(decision.retryInSeconds).toBeGreaterThan(0);
        }),
        { numRuns: 30 },
      );
    }
  });
});
