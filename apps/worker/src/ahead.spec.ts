/** Pure. Proves: what is taken on ahead is 0.4 s of what is delivered, in large portions, and nobody slow is in the way. */
import { expect, it } from 'vitest';
import { aheadOf, roomAhead } from './ahead.js';

const QUICK = 'quick';
const SLOW = 'slow';
// In a seventh of a second.
const answering = new Map([
  [QUICK, 100],
  [SLOW, 4.5],
]);
const waiting = (quick: number, slow: number) => (endpointId: string) =>
  endpointId === QUICK ? quick : slow;

it('has each endpoint wait with what is delivered there in 0.4 s', () => {
  expect([QUICK, SLOW, 'silent'].map((endpointId) => aheadOf(answering, endpointId))).toEqual([300, 14, 0]);
  expect(roomAhead(answering, waiting(0, 0), 1000)).toBe(314);
  expect(roomAhead(answering, waiting(0, 0), 200)).toBe(200);
  expect(roomAhead(new Map(), waiting(0, 0), 200)).toBe(0);
});

it('fills up when two thirds have gone', () => {
  expect(roomAhead(answering, waiting(104, 0), 1000)).toBe(210);
  expect(roomAhead(answering, waiting(105, 0), 1000)).toBe(0);
});

it('is not held up by what a slow one cannot start yet', () => {
  expect(roomAhead(answering, waiting(0, 500), 1000)).toBe(300);
});
