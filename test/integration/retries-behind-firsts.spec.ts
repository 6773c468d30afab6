/**
 * Real: PostgreSQL, HTTP on loopback, accept, pump and record in this process. Retries of an endpoint are due while its first attempts take all
 * that it may have under way here. They start when these end: no poll is needed to find them.
 */
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Boundary } from './boundary-fixture.js';

const SLOTS_OF_ONE = 4;
const RETRIES = 20;
const FIRSTS = 6;

let boundary: Boundary;
beforeAll(async () => {
  boundary = await Boundary.open({ still: true });
});
afterAll(() => boundary.close());

it('are claimed when what left them out has ended', async () => {
  const { database, workers } = boundary;
  const customer = await boundary.customer();
  await boundary.publish(customer, RETRIES);
  await database.query('UPDATE pgboss.job SET priority = 0');
  await boundary.publish(customer, FIRSTS, { from: 100 });
  boundary.answering(customer, { status: 200, afterMs: 5 });
  vi.useFakeTimers({ toFake: ['setInterval'] });
  await workers[0].startPump({ concurrency: 64, concurrencyPerEndpoint: SLOTS_OF_ONE });
  vi.useRealTimers();
  await boundary.untilCounts(customer, { delivered: RETRIES + FIRSTS });
  expect(boundary.hitsOf(customer)[0].data.n).toBeGreaterThanOrEqual(100);
});
