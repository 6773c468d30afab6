/**
 * Real: PostgreSQL, HTTP on loopback, accept, pump and record in this process. An endpoint hangs and has more in the queue than it may
 * start; others answer slowly, one request each few milliseconds, and nobody publishes. A retry that comes due meanwhile is found by the
 * next poll: what ends does not put it off.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Boundary, type Customer, type Hit } from './boundary-fixture.js';

const SLOTS_OF_ONE = 4;
const SLOW = 40;
// One ends in each of these: all of them together take six polls.
const END_EVERY_MS = 75;

let boundary: Boundary;
beforeAll(async () => {
  boundary = await Boundary.open({ still: true });
});
afterAll(() => boundary.close());

it('a due retry is found by the poll, whatever ends in between', async () => {
  const { database, workers } = boundary;
  const later = await boundary.customer();
  const hangs = await boundary.customer();
  const slow: Customer[] = [];
  for (let n = 0; n < SLOW; n++) slow.push(await boundary.customer());
  const underWay: Hit[] = [];
  let slowWhenRetried: number | null = null;
  boundary.answering(hangs, null);
  for (const each of slow)
    boundary.answering(each, (hit) => {
      underWay.push(hit);
      return null;
    });
  boundary.answering(later, () => {
    slowWhenRetried = underWay.length;
    return 200;
  });
  await boundary.publish(later);
  // As a retry: nobody is told when it is due.
  await database.query(`UPDATE pgboss.job SET priority = 0, start_after = now() + interval '1 hour'`);
  await boundary.publish(hangs, 30);
  for (const each of slow) await boundary.publish(each);
  await workers[0].startPump({ concurrency: 256, concurrencyPerEndpoint: SLOTS_OF_ONE });
  await boundary.untilHits(hangs, SLOTS_OF_ONE);
  await boundary.until(
    () => underWay.length,
    (n) => n === SLOW,
  );

  await database.query(`UPDATE pgboss.job SET start_after = now() WHERE priority = 0`);
  const ends = setInterval(() => {
    const hit = underWay.pop();
    if (hit) boundary.reply(hit, 200);
  }, END_EVERY_MS);
  await boundary.untilHits(later, 1);
  clearInterval(ends);
  expect(slowWhenRetried).toBeGreaterThan(SLOW / 2);
});
