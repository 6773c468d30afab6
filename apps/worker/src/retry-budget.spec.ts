import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RetryBudget } from './retry-budget.js';

function budget() {
  const clock = { ms: 0 };
  return { clock, budget: new RetryBudget(() => clock.ms) };
}
/** As the pump does: asks, and counts what is then attempted. */
function attempt(of: RetryBudget, isRetry: boolean, percentMax: number, endpointId = 'e'): boolean {
  const may = of.allows(endpointId, isRetry, percentMax);
  if (may) of.count(endpointId, isRetry, percentMax);
  return may;
}
const times = (count: number, one: () => boolean): number =>
  Array.from({ length: count }, one).filter(Boolean).length;

describe('RetryBudget', () => {
  it('gives ten retries a minute to anyone, and no more where nothing else is attempted', () => {
    const { clock, budget: own } = budget();
    expect(times(50, () => attempt(own, true, 10))).toBe(10);
    clock.ms += 60_000;
    expect(times(50, () => attempt(own, true, 10))).toBe(10);
  });

  it('gives the share of the attempts of the window', () => {
    const { budget: own } = budget();
    expect(times(90, () => attempt(own, false, 20))).toBe(90);
    // A fifth of all: 22 of 112.
    expect(times(100, () => attempt(own, true, 20))).toBe(22);
  });

  it('never refuses a first attempt, nor anything of an endpoint that bounds nothing', () => {
    const { budget: own } = budget();
    times(100, () => attempt(own, true, 1));
    expect(attempt(own, false, 1)).toBe(true);
    expect(times(1000, () => attempt(own, true, 100, 'other'))).toBe(1000);
  });

  it('asking counts nothing: what waits for a slot of its rate asks again and again', () => {
    const { budget: own } = budget();
    for (let n = 0; n < 1000; n++) own.allows('e', false, 10);
    expect(times(50, () => attempt(own, true, 10))).toBe(10);
  });

  it('keeps the share of each endpoint by itself, whatever is attempted in which order', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 99 }),
        fc.array(fc.record({ endpoint: fc.constantFrom('a', 'b'), retry: fc.boolean() }), { maxLength: 300 }),
        (percentMax, steps) => {
          const { budget: own } = budget();
          const made = { a: { all: 0, retries: 0 }, b: { all: 0, retries: 0 } };
          for (const { endpoint, retry } of steps) {
            if (!attempt(own, retry, percentMax, endpoint)) continue;
            made[endpoint as 'a'].all++;
            if (retry) made[endpoint as 'a'].retries++;
            const { all, retries } = made[endpoint as 'a'];
            if (retry) expect(retries <= 10 || retries * 100 <= percentMax * all).toBe(true);
          }
        },
      ),
    );
  });
});
