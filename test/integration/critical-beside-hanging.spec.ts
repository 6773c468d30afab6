/**
 * Timeline: all slots but those that are kept for critical events have requests that hang; a normal event has the worker look at what is
 * kept, and finds nothing that may go there; a critical one is published before the worker may look again (25 ms).
 * Proves: the worker looks again by itself when it may. It did so with the next poll only, half a second later.
 * Real: PostgreSQL, pg-boss, NOTIFY, a pump, HTTP. Not real: the clock that budgets are kept by, and the poll, which never comes.
 */
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Boundary } from './boundary-fixture.js';

const SLOTS = 20;
const KEPT = 2;
let boundary: Boundary;
beforeAll(async () => {
  boundary = await Boundary.open({ still: true });
});
afterAll(() => boundary.close());

it('a critical event that comes right after a look for others takes a slot that is kept, without waiting for the poll', async () => {
  const [worker] = boundary.workers;
  const claim = vi.spyOn(worker.queue, 'claim');
  const criticalLooks = () => claim.mock.calls.filter(([, , of]) => of?.priorityMin === 2).length;
  const hanging = await Promise.all(Array.from({ length: 6 }, () => boundary.customer()));
  for (const customer of hanging) {
    boundary.answering(customer, null);
    await boundary.publish(customer, (SLOTS - KEPT) / hanging.length);
  }
  const hits = () => hanging.flatMap((customer) => boundary.hitsOf(customer));
  let nowMs = 0;
  let asked = 0;
  vi.useFakeTimers({ toFake: ['setInterval'] });
  await worker.startPump({
    concurrency: SLOTS,
    concurrencyPerEndpoint: SLOTS,
    monotonic: () => (asked++, nowMs),
  });
  vi.useRealTimers();
  await boundary.until(
    () => hits().length,
    (n) => n === SLOTS - KEPT,
  );

  nowMs += 60_000;
  const waits = await boundary.customer();
  const earlier = criticalLooks();
  await boundary.publish(waits);
  await boundary.until(criticalLooks, (n) => n > earlier);
  await Promise.all(claim.mock.results.map(({ value }) => value as unknown));
  const looks = criticalLooks();

  const urgent = await boundary.customer();
  const before = asked;
  await boundary.publish(urgent, 1, { priority: 'critical' });
  // It was told, and found that it may not look yet.
  await boundary.until(
    () => asked,
    (n) => n > before,
  );
  expect(criticalLooks()).toBe(looks);
  nowMs += 25;
  await boundary.untilHits(urgent, 1);
  expect(boundary.hitsOf(waits)).toEqual([]);

  for (const hit of hits()) boundary.reply(hit, 200);
  await boundary.untilCounts(waits, { delivered: 1 });
  await boundary.proveAll();
});
