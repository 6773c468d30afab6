import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import fc from 'fast-check';
import type { ClaimedTicket } from './parking.js';
import { TimedTickets } from './timed-tickets.js';

const ticket = (deliveryId: string, retryCount = 0): ClaimedTicket => ({
  deliveryId,
  endpointId: 'e',
  retryCount,
  of: 'normal',
  claimedAtMs: 0,
});

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

/** What came back, and when; the clock is the fake timers' own, with fractions put on top. */
function timed(fractionMs = 0) {
  const came: { id: string; atMs: number }[] = [];
  const startedAt = Date.now();
  const nowMs = () => Date.now() - startedAt + fractionMs;
  const tickets = new TimedTickets(nowMs, (each) => came.push({ id: each.deliveryId, atMs: nowMs() }));
  return { came, tickets, nowMs };
}

describe('TimedTickets', () => {
  it('gives each back at its slot, in their order, and admits it once', () => {
    const { came, tickets } = timed();
    tickets.add(ticket('b'), 200);
    tickets.add(ticket('a'), 100);
    expect(tickets.isAdmitted('a')).toBe(false);
    vi.advanceTimersByTime(99);
    expect(came).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(came).toEqual([{ id: 'a', atMs: 100 }]);
    expect(tickets.isAdmitted('a')).toBe(true);
    expect(tickets.isAdmitted('a')).toBe(false);
    expect(tickets.isAdmitted('b')).toBe(false);
    vi.advanceTimersByTime(100);
    expect(came.map(({ id }) => id)).toEqual(['a', 'b']);
    expect(tickets.size).toBe(0);
  });

  it('is never early, whatever fractions the slots have', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.001, max: 3000, noNaN: true }), { minLength: 1, maxLength: 50 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (slots, fractionMs) => {
          const { came, tickets, nowMs } = timed(fractionMs);
          const from = nowMs();
          for (const [n, inMs] of slots.entries()) tickets.add(ticket(String(n)), inMs);
          vi.advanceTimersByTime(3001);
          expect(came).toHaveLength(slots.length);
          for (const { id, atMs } of came) {
            expect(atMs - from).toBeGreaterThanOrEqual(slots[Number(id)]);
            expect(atMs - from).toBeLessThan(slots[Number(id)] + 1);
          }
          tickets.takeAll();
        },
      ),
    );
  });

  it('does not admit a slot that was missed: several of them would be used at once', () => {
    const { tickets } = timed();
    tickets.add(ticket('in time'), 50);
    tickets.add(ticket('late'), 50);
    vi.advanceTimersByTime(150);
    expect(tickets.isAdmitted('in time')).toBe(true);
    vi.advanceTimersByTime(1);
    expect(tickets.isAdmitted('late')).toBe(false);
  });

  it('forgets what is dropped and what is taken, and their slots', () => {
    const { came, tickets } = timed();
    for (const id of ['a', 'b', 'c']) tickets.add(ticket(id), 50);
    tickets.drop('a');
    vi.advanceTimersByTime(50);
    expect(came.map(({ id }) => id)).toEqual(['b', 'c']);
    tickets.drop('b');
    expect(tickets.isAdmitted('b')).toBe(false);
    tickets.add(ticket('d'), 50);
    expect(tickets.takeAll().map((each) => each.deliveryId)).toEqual(['d']);
    expect(tickets.isAdmitted('c')).toBe(false);
    vi.advanceTimersByTime(1000);
    expect(came).toHaveLength(2);
    expect(tickets.size).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('a delivery that is claimed again has the later claim’s slot and no other', () => {
    const { came, tickets } = timed();
    tickets.add(ticket('a', 0), 100);
    tickets.add(ticket('a', 1), 300);
    vi.advanceTimersByTime(100);
    expect(came).toEqual([]);
    vi.advanceTimersByTime(200);
    expect(came).toEqual([{ id: 'a', atMs: 300 }]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
