/**
 * Real: PostgreSQL, HTTP on loopback, accept, pump and record in this process; but no poll. A lane's window grows by one with each
 * success: what this makes room for starts as soon as the pump knows of it, beside requests that take long.
 */
import { afterAll, beforeAll, it, vi } from 'vitest';
import { Boundary } from './boundary-fixture.js';

const POLL_MS = 500;

let boundary: Boundary;
beforeAll(async () => {
  boundary = await Boundary.open({ still: true });
});
afterAll(async () => {
  vi.restoreAllMocks();
  await boundary.close();
});

it('starts what a window that has grown has room for', async () => {
  const customer = await boundary.customer({}, { window_size: 2 });
  boundary.answering(customer, null);
  await boundary.publish(customer, 20);
  const every = globalThis.setInterval;
  vi.spyOn(globalThis, 'setInterval').mockImplementation(((run: () => void, ms: number) =>
    every(ms === POLL_MS ? () => undefined : run, ms)) as typeof setInterval);
  await boundary.workers[0].startPump();
  vi.restoreAllMocks();
  await boundary.untilHits(customer, 2, 5000);
  // A window of four with nothing under way.
  for (const hit of boundary.hitsOf(customer)) boundary.reply(hit, 200);
  await boundary.untilHits(customer, 2 + 4, 5000);
});
