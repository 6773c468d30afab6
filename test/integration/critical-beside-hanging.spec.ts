/**
 * All slots but those that are kept for critical events have requests that hang. Each time line then:
 * 1. A normal event has the worker look at what is kept, and finds nothing that may go there; a critical one is published before the worker
 *    may look again (25 ms). Proves: the worker looks again by itself when it may. It did so with the next poll only, half a second later.
 * 2. Retries are due, and hang too. Proves: they leave what is kept to a critical event. They took it.
 * 3. Normal events that were claimed before, and waited here for a slot of their rate, have their time. Proves: they leave it as well.
 * Real: PostgreSQL, pg-boss, NOTIFY, a pump, HTTP. Not real: the clock that budgets are kept by in 1, and the poll, which never comes.
 */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Parking } from '../../apps/worker/src/parking.js';
import { Boundary, type Customer } from './boundary-fixture.js';

const SLOTS = 20;
const KEPT = 2;
let boundary: Boundary;
beforeEach(async () => {
  boundary = await Boundary.open({ still: true });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await boundary.close();
});

/** Customers whose requests hang. */
async function hangingCustomers(count: number): Promise<Customer[]> {
  const customers: Customer[] = [];
  for (let n = 0; n < count; n++) customers.push(await boundary.customer());
  for (const customer of customers) boundary.answering(customer, null);
  return customers;
}

/** A pump that no poll wakes. */
async function startPump(monotonic?: () => number): Promise<void> {
  vi.useFakeTimers({ toFake: ['setInterval'] });
  await boundary.workers[0].startPump({ concurrency: SLOTS, concurrencyPerEndpoint: SLOTS, monotonic });
  vi.useRealTimers();
}

const hitsOf = (customers: Customer[]) => customers.flatMap((customer) => boundary.hitsOf(customer));
const untilHang = (customers: Customer[]) =>
  boundary.until(
    () => hitsOf(customers).length,
    (n) => n === SLOTS - KEPT,
  );

/** They get an answer, then and from now on. */
function answerAll(customers: Customer[]): void {
  for (const customer of customers) boundary.answering(customer, 200);
  for (const hit of hitsOf(customers)) boundary.reply(hit, 200);
}

it('a critical event that comes right after a look for others takes a slot that is kept, without waiting for the poll', async () => {
  const [worker] = boundary.workers;
  const claim = vi.spyOn(worker.queue, 'claim');
  const criticalLooks = () => claim.mock.calls.filter(([, , of]) => of?.priorityMin === 2).length;
  const hanging = await hangingCustomers(6);
  for (const customer of hanging) await boundary.publish(customer, (SLOTS - KEPT) / hanging.length);
  let nowMs = 0;
  let asked = 0;
  await startPump(() => (asked++, nowMs));
  await untilHang(hanging);

  const waits = await boundary.customer();
  // Before time goes on: by then it may look by itself.
  const earlier = criticalLooks();
  nowMs += 60_000;
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

  answerAll(hanging);
  await boundary.untilCounts(waits, { delivered: 1 });
  await boundary.proveAll();
});

it('due retries leave what is kept to a critical event', async () => {
  const [worker] = boundary.workers;
  const claim = vi.spyOn(worker.queue, 'claim');
  const retried = await hangingCustomers(2 * KEPT);
  for (const customer of retried) await boundary.publish(customer);
  await boundary.database.query('UPDATE pgboss.job SET priority = 0');
  const hanging = await hangingCustomers(6);
  for (const customer of hanging) await boundary.publish(customer, (SLOTS - KEPT) / hanging.length);
  await startPump();
  await untilHang(hanging);
  // First attempts, and whatever it looks for next.
  await boundary.until(
    () => claim.mock.calls.length,
    (n) => n >= 2,
  );
  await Promise.all(claim.mock.results.map(({ value }) => value as unknown));

  const urgent = await boundary.customer();
  await boundary.publish(urgent, 1, { priority: 'critical' });
  await boundary.untilHits(urgent, 1);
  expect(hitsOf(retried)).toEqual([]);

  for (const customer of retried) boundary.answering(customer, 200);
  answerAll(hanging);
  for (const customer of retried) await boundary.untilCounts(customer, { delivered: 1 });
  await boundary.proveAll();
});

it('normal events whose time has come leave what is kept to a critical event', async () => {
  const timesHaveCome = vi.spyOn(Parking.prototype, 'addFirst');
  const limited: Customer[] = [];
  for (let n = 0; n < KEPT; n++)
    limited.push(await boundary.customer({ rate_limit: { algorithm: 'leaky_bucket', limit: 1, per: 2 } }));
  for (const customer of limited) {
    // The second one would hang.
    boundary.answering(customer, () => (boundary.hitsOf(customer).length === 1 ? 200 : null));
    await boundary.publish(customer, 2);
  }
  const hanging = await hangingCustomers(6);
  for (const customer of hanging) await boundary.publish(customer, (SLOTS - KEPT) / hanging.length);
  await startPump();
  await untilHang(hanging);
  await boundary.until(
    () => timesHaveCome.mock.calls.length,
    (n) => n >= KEPT,
  );

  const urgent = await boundary.customer();
  await boundary.publish(urgent, 1, { priority: 'critical' });
  await boundary.untilHits(urgent, 1);
  expect(hitsOf(limited)).toHaveLength(KEPT);

  for (const customer of limited) boundary.answering(customer, 200);
  answerAll(hanging);
  for (const customer of limited) await boundary.untilCounts(customer, { delivered: 2 });
  await boundary.proveAll();
});
