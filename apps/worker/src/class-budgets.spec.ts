import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClassBudgets, type TicketClass } from './class-budgets.js';

const SLOTS = 100;

/** A worker's slots, on a clock that the test holds. */
function budgets(slots = SLOTS) {
  const clock = { ms: 0 };
  return { clock, shared: new ClassBudgets(slots, () => clock.ms) };
}
function start(shared: ClassBudgets, of: TicketClass, count: number): void {
  for (let n = 0; n < count; n++) shared.start(of);
}

describe('retries', () => {
  it('get a fifth of the slots while first attempts wait, at least two', () => {
    const { shared } = budgets();
    shared.firstsClaimed(true);
    expect(shared.retryRoom).toBe(20);
    start(shared, 'retry', 19);
    expect(shared.planRetries(81)).toEqual({ max: 1, priorityMax: 0 });
    start(shared, 'retry', 1);
    expect(shared.retryRoom).toBe(0);
    expect(shared.planRetries(80)).toBeNull();

    const small = budgets(4).shared;
    small.firstsClaimed(true);
    expect(small.retryRoom).toBe(2);
  });

  it('take nothing of what is kept for critical ones', () => {
    const { shared } = budgets();
    start(shared, 'normal', 89);
    expect(shared.planRetries(11)).toEqual({ max: 1, priorityMax: 0 });
    start(shared, 'retry', 1);
    expect(shared.planRetries(10)).toBeNull();
    expect(shared.roomForOthers(10)).toBe(0);
    // Critical ones that are under way have their slots already.
    start(shared, 'critical', 4);
    expect(shared.roomForOthers(6)).toBe(0);
    expect(shared.roomForOthers(7)).toBe(1);
  });

  it('get more when no first attempt waits, and never all', () => {
    const { shared } = budgets();
    shared.firstsClaimed(false);
    expect(shared.retryRoom).toBe(60);
    start(shared, 'retry', 60);
    // First attempts come again: those that are under way end by themselves, no other begins.
    shared.firstsClaimed(true);
    expect(shared.retryRoom).toBe(0);
  });

  it('are looked for only now and then while first attempts keep the worker busy', () => {
    const { clock, shared } = budgets();
    shared.firstsClaimed(true);
    expect(shared.planRetries(50)).not.toBeNull();
    expect(shared.planRetries(50)).toBeNull();
    clock.ms += 50;
    expect(shared.planRetries(50)).toEqual({ max: 20, priorityMax: 0 });
    shared.firstsClaimed(false);
    expect(shared.planRetries(50)).not.toBeNull();
  });
});

describe('critical first attempts', () => {
  it('have a tenth that no normal one may take, and are looked for there', () => {
    const { clock, shared } = budgets();
    expect(shared.planFirsts(100)).toEqual({ max: 90, priorityMin: 1 });
    start(shared, 'normal', 90);
    clock.ms = 1000;
    expect(shared.planFirsts(10)).toEqual({ max: 10, priorityMin: 2 });
    // It costs a statement: not in every round.
    expect(shared.planFirsts(10)).toBeNull();
    clock.ms += 10;
    expect(shared.criticalInMs).toBe(15);
    clock.ms += 15;
    expect(shared.criticalInMs).toBe(0);
    expect(shared.planFirsts(10)).toEqual({ max: 10, priorityMin: 2 });
    start(shared, 'critical', 4);
    // Some are under way: what is kept for them is smaller by as many.
    expect(shared.planFirsts(6)).toBeNull();
    clock.ms += 25;
    clock.ms += 10_000;
    expect(shared.planFirsts(7)).toEqual({ max: 1, priorityMin: 1 });
  });

  it('are claimed by themselves, and first, while there are any: one claim answers in no order', () => {
    const { clock, shared } = budgets();
    start(shared, 'critical', 1);
    const firsts = shared.planFirsts(99);
    expect(firsts).toEqual({ max: 49, priorityMin: 2 });
    expect(shared.planLeftovers(99, firsts)).toEqual({ max: 90, priorityMin: 1, priorityMax: 1 });
    clock.ms += 10_000;
    expect(shared.planFirsts(99)).toEqual({ max: 90, priorityMin: 1 });
  });

  it('get half while normal ones wait, and what those leave', () => {
    const { shared } = budgets();
    start(shared, 'critical', 50);
    const firsts = shared.planFirsts(50);
    expect(firsts).toEqual({ max: 50, priorityMin: 1, priorityMax: 1 });
    expect(shared.planLeftovers(50, firsts)).toEqual({ max: 50, priorityMin: 2 });
    expect(shared.planLeftovers(0, firsts)).toBeNull();
    expect(shared.planLeftovers(50, { max: 50, priorityMin: 1 })).toBeNull();
  });
});

/** A worker that always finds as much as it asks for, of everything, with attempts that end at random. */
it('keeps every share whatever ends when, and counts nothing when all has ended', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 8, max: 300 }),
      fc.array(fc.record({ ends: fc.nat(40), which: fc.nat(2), criticalOf10: fc.nat(10) }), {
        minLength: 20,
        maxLength: 60,
      }),
      (slots, rounds) => {
        const { clock, shared } = budgets(slots);
        const running: Record<TicketClass, number> = { critical: 0, normal: 0, retry: 0 };
        const all = (): number => running.critical + running.normal + running.retry;
        const begin = (of: TicketClass, count: number): void => {
          start(shared, of, count);
          running[of] += count;
        };
        for (const { ends, which, criticalOf10 } of rounds) {
          clock.ms += 10;
          const of = (['critical', 'normal', 'retry'] as const)[which];
          for (let n = Math.min(ends, running[of]); n > 0; n--) {
            shared.end(of);
            running[of]--;
          }
          const firsts = shared.planFirsts(slots - all());
          if (firsts) {
            expect(firsts.max).toBeLessThanOrEqual(slots - all());
            const critical =
              firsts.priorityMin === 2
                ? firsts.max
                : firsts.priorityMax === 1
                  ? 0
                  : Math.floor((firsts.max * criticalOf10) / 10);
            begin('critical', critical);
            begin('normal', firsts.max - critical);
          }
          const leftovers = shared.planLeftovers(slots - all(), firsts);
          if (leftovers) {
            expect(leftovers.max).toBeLessThanOrEqual(slots - all());
            begin(leftovers.priorityMin === 2 ? 'critical' : 'normal', leftovers.max);
          }
          shared.firstsClaimed(true);
          const retries = shared.planRetries(slots - all());
          if (retries) begin('retry', retries.max);
          expect(all()).toBeLessThanOrEqual(slots);
          // Nobody else takes what is kept for critical ones.
          expect(running.normal + running.retry).toBeLessThanOrEqual(slots - Math.floor(slots * 0.1));
          expect(running.retry).toBeLessThanOrEqual(Math.max(2, Math.floor(slots * 0.2)));
        }
        for (const of of ['critical', 'normal', 'retry'] as const)
          for (; running[of] > 0; running[of]--) shared.end(of);
        shared.firstsClaimed(false);
        expect(shared.retryRoom).toBe(Math.max(2, Math.floor(slots * 0.6)));
        clock.ms += 10_000;
        expect(shared.planFirsts(slots)).toEqual({
          max: slots - Math.floor(slots * 0.1),
          priorityMin: 1,
        });
      },
    ),
  );
});

it('a worker of three slots gives them by turns, told by what started last, not by how often it asked', () => {
  const { shared } = budgets(3);
  const [critical, normal] = [
    { max: 1, priorityMin: 2 },
    { max: 3, priorityMin: 1, priorityMax: 1 },
  ];
  // Whether critical ones are about is known once one has started.
  shared.start('critical');
  shared.end('critical');
  for (let n = 0; n < 3; n++) expect(shared.planFirsts(3)).toEqual(normal);
  shared.start('retry');
  shared.end('retry');
  expect(shared.planFirsts(3)).toEqual(normal);
  shared.start('normal');
  shared.end('normal');
  for (let n = 0; n < 3; n++) expect(shared.planFirsts(3)).toEqual(critical);
});
