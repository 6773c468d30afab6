/** Pure. Proves: what is taken on is shared by what was delivered lately, all of what there is room for, but no more than a lane takes. */
import { expect, it } from 'vitest';
import { Successors } from './successors.js';

let nowMs = 1000;
const lane = (endpointId: string, delivered: number, room = 1000) => ({ endpointId, delivered, room });
const after = (...lanes: ReturnType<typeof lane>[]): Successors => {
  const successors = new Successors(() => nowMs);
  successors.count(lanes);
  return successors;
};

it('shares what there is room for by what was delivered lately', () => {
  const successors = after(lane('a', 400), lane('b', 40), lane('c', 0));
  expect(successors.answering()).toEqual(
    new Map([
      ['a', 400],
      ['b', 40],
    ]),
  );
  expect(successors.take(0)).toEqual(new Map());
  const expected: [string, number][] = [
    ['a', 30],
    ['b', 3],
  ];
  expect(successors.take(33)).toEqual(new Map(expected));
});

it('gives one lane twice as much as was delivered to it, half of that a tenth of a second later, and a few in any case', () => {
  const successors = after(lane('a', 64));
  const taken = [1, 2, 3, 4, 5].map(() => {
    const n = successors.take(1000).get('a');
    nowMs += 100;
    return n;
  });
  expect(taken).toEqual([128, 64, 32, 16, 16]);
  nowMs += 500;
  expect(successors.answering()).toEqual(new Map());
  expect(successors.take(1000)).toEqual(new Map());
});

it('tells how much is delivered in a seventh of a second', () => {
  const successors = after();
  for (let n = 0; n < 100; n++) {
    successors.count([lane('a', 30), lane('b', 10)]);
    nowMs += 10;
  }
  expect(successors.answering().get('a')! / 3000).toBeCloseTo(1 / 7, 1);
});

it('leaves nobody out of many that are slow', () => {
  const successors = after(...Array.from({ length: 400 }, (_, n) => lane(`${n}`, 1)));
  const taken = new Set<string>();
  for (let round = 0; round < 8; round++) {
    const takes = successors.take(100);
    expect([...takes.values()].reduce((sum, n) => sum + n, 0)).toBe(100);
    for (const endpointId of takes.keys()) taken.add(endpointId);
    nowMs += 10;
  }
  expect(taken.size).toBe(400);
});

it('never gives one by one, for which a transaction is too much', () => {
  expect(after(lane('a', 1), lane('b', 100)).take(100).get('a')).toBe(2);
  expect(after(lane('a', 1)).take(1)).toEqual(new Map());
});

it('forgets whoever holds nothing, or has no room, and whoever is silent', () => {
  const successors = after(lane('a', 8), lane('b', 8), lane('c', 1));
  successors.count([lane('a', 8, 0)]);
  expect([...successors.answering().keys()]).toEqual(['b', 'c']);
  nowMs += 350;
  expect([...successors.take(1000).keys()]).toEqual(['b']);
  nowMs += 350;
  expect(successors.take(1000)).toEqual(new Map());
});

it('takes no more of one than a claim would, and knows so many endpoints at most', () => {
  const successors = after(lane('a', 1_000_000));
  expect(successors.take(1_000_000).get('a')).toBe(256);
  for (let n = 0; n < 20; n++)
    successors.count(Array.from({ length: 999 }, (_, at) => lane(`${n} ${at}`, 4)));
  expect(successors.answering().size).toBe(5000);
});
