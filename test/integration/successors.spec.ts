/**
 * Promise: what follows on what a worker has delivered is in its hands without passing through the queue, and no less safe: counted,
 * given back at a stop, found by others when the worker is gone. Who waits in the queue keeps his part of the worker.
 * Real: PostgreSQL, pg-boss, a pump, HTTP on loopback.
 */
import { promoteHeld } from '@app/delivery';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { Boundary, type Customer } from './boundary-fixture.js';

let boundary: Boundary;
beforeAll(async () => {
  boundary = await Boundary.open({ still: true });
});
afterAll(() => boundary.close());
afterEach(() => vi.restoreAllMocks());

const promote = ({ endpointId }: Customer, takes: number) =>
  promoteHeld(
    boundary.database,
    boundary.workers[0].queue,
    [endpointId],
    new Map(takes > 0 ? [[endpointId, takes]] : []),
  );

const tickets = ({ endpointId }: Customer) =>
  boundary.database.query<{ state: string; n: number }>(
    'SELECT state::text, count(*)::int AS n FROM pgboss.job WHERE group_id = $1 GROUP BY 1 ORDER BY 1 DESC',
    [endpointId],
  );

const claims = () => boundary.workers[0].queue.claim(1000, []);

it('takes so many of a lane that is more than half full, and fills one that is not as ever', async () => {
  const customer = await boundary.customer({}, { window_size: 20, window_max: 20 });
  const ids = await boundary.publish(customer, 60);
  await claims();
  expect(await promote(customer, 5)).toEqual({ count: 0, inHand: [] });
  await boundary.set('lanes', customer, { window_size: 28, window_max: 28 });
  expect(await promote(customer, 0)).toEqual({ count: 0, inHand: [] });
  const { count, inHand } = await promote(customer, 5);
  const next = ids.slice(20, 25);
  expect(count).toBe(5);
  expect(inHand.map(({ deliveryId }) => deliveryId)).toEqual(next);
  expect(inHand[0]).toEqual({
    ...{ deliveryId: next[0], endpointId: customer.endpointId, priority: 1, retryCount: 0 },
  });
  expect(await boundary.counts(customer)).toEqual({ queued: 25, held: 35 });
  expect(await boundary.lane(customer)).toMatchObject({ queued: 25, held: 35 });
  expect(await tickets(customer)).toEqual([{ state: 'active', n: 25 }]);
  await boundary.set('lanes', customer, { window_size: 54, window_max: 54 });
  expect(await promote(customer, 5)).toMatchObject({ count: 5, inHand: { length: 5 } });
  expect(await promote(customer, 100)).toMatchObject({ count: 24, inHand: { length: 24 } });
  expect(await tickets(customer)).toEqual([{ state: 'active', n: 54 }]);
  await boundary.set('lanes', customer, { window_size: 109, window_max: 109 });
  expect(await promote(customer, 0)).toMatchObject({ count: 6, inHand: [] });
  expect(await tickets(customer)).toEqual([
    { state: 'created', n: 6 },
    { state: 'active', n: 54 },
  ]);
  expect(await claims()).toHaveLength(6);
});

it.each([
  ['is paused', { paused_at: new Date() }],
  ['has its circuit open', { circuit: 'open', open_until: new Date(Date.now() + 60_000) }],
])('takes none of a lane that %s', async (_, columns) => {
  const customer = await boundary.customer({}, { window_size: 4, window_max: 4 });
  await boundary.publish(customer, 9);
  await boundary.set('lanes', customer, { ...columns, window_size: 9, window_max: 9 });
  expect(await promote(customer, 5)).toEqual({ count: 0, inHand: [] });
  await boundary.set('endpoints', customer, { disabled_at: new Date() });
  await boundary.workers[0].lanes.cancelStopped();
});

it('gives the newest half of what it takes of an old backlog, of an odd number by chance one more', async () => {
  const customer = await boundary.customer({}, { paused_at: new Date(), window_size: 100, window_max: 100 });
  const old = new Set(await boundary.publish(customer, 80));
  await boundary.database.query(
    `UPDATE deliveries SET due_at = now() - interval '1 hour' WHERE id = ANY($1)`,
    [[...old]],
  );
  await boundary.publish(customer, 60);
  await boundary.set('lanes', customer, { paused_at: null });
  const newestOf = async (takes: number): Promise<number> => {
    const { inHand } = await promote(customer, takes);
    expect(inHand).toHaveLength(takes);
    return inHand.filter(({ deliveryId }) => !old.has(deliveryId)).length;
  };
  expect(await newestOf(4)).toBe(2);
  const ofThree: number[] = [];
  while (ofThree.length < 25) ofThree.push(await newestOf(3));
  // All alike once in sixteen million runs.
  expect(new Set(ofThree)).toEqual(new Set([1, 2]));
});

it('leaves retries to the queue, where they have their share', async () => {
  const customer = await boundary.customer({}, { window_size: 1, window_max: 1 });
  await boundary.publish(customer, 5);
  await claims();
  await boundary.database.query(`UPDATE deliveries SET trigger = 'retry' WHERE endpoint_id = $1`, [
    customer.endpointId,
  ]);
  await boundary.set('lanes', customer, { window_size: 9, window_max: 9 });
  expect(await promote(customer, 5)).toEqual({ count: 4, inHand: [] });
  expect(await claims()).toHaveLength(4);
});

it('takes on what an ordering key has next, each key in its order', async () => {
  const customer = await boundary.customer({ ordered: true }, { window_size: 8, window_max: 8 });
  const ids = await boundary.publish(customer, 40, { key: (n) => `k${n % 20}` });
  expect(await promote(customer, 0)).toMatchObject({ count: 8, inHand: [] });
  expect(await claims()).toHaveLength(8);
  await boundary.set('lanes', customer, { window_size: 14, window_max: 14 });
  const { inHand } = await promote(customer, 5);
  expect(inHand).toHaveLength(5);
  // The first of each.
  expect(ids.slice(0, 20)).toEqual(expect.arrayContaining(inHand.map(({ deliveryId }) => deliveryId)));
  const turns = await boundary.database.query<{ state: string; n: number }>(
    'SELECT state, count(*)::int AS n FROM ordering_keys WHERE endpoint_id = $1 GROUP BY 1 ORDER BY 1',
    [customer.endpointId],
  );
  expect(turns).toEqual([
    { state: 'busy', n: 13 },
    { state: 'ready', n: 7 },
  ]);
  await boundary.proveAll();
});

it('leaves to a loop what does not wait in our hands', async () => {
  const customer = await boundary.customer({}, { window_size: 4 });
  await boundary.publish(customer, 30);
  await boundary.database.query('UPDATE lanes SET paused_at = now() WHERE endpoint_id <> $1', [
    customer.endpointId,
  ]);
  await boundary.set('lanes', customer, { window_size: 20, window_max: 20 });
  await claims();
  const [{ lanes }] = boundary.workers;
  expect(await lanes.promoteStalled(new Set([customer.endpointId]))).toBe(0);
  expect(await lanes.promoteStalled()).toBe(16);
  expect(await claims()).toHaveLength(16);
});

it('delivers a backlog so, each once and counted; what stood in the queue before keeps its part', async () => {
  const customer = await boundary.customer({}, { window_size: 400, window_max: 400 });
  const [worker] = boundary.workers;
  await boundary.publish(customer, 2000);
  const claim = vi.spyOn(worker.queue, 'claim');
  // Else its retries that are due would be put aside, behind its backlog.
  const hanging: string[] = [];
  boundary.answering(customer, () => {
    if (boundary.hitsOf(customer).length % 50 === 25) hanging.push(...worker.hanging());
    return 200;
  });
  await worker.startPump({ concurrency: 16, concurrencyPerEndpoint: 16 });
  await boundary.untilCounts(customer, { delivered: 2000 });
  const claimed = await Promise.all(
    claim.mock.results.map(({ value }) => value as ReturnType<typeof claims>),
  );
  const byClaim = claimed.flat().filter(({ endpointId }) => endpointId === customer.endpointId).length;
  const order = boundary.hitsOf(customer).map(({ data }) => data.n);
  // Four of them for each that was claimed, at most.
  expect(order.findLastIndex((n) => n < 400)).toBeLessThan(1700);
  expect(byClaim).toBeLessThan(600);
  expect(hanging.length).toBeLessThan(20);
  expect(new Set(order).size).toBe(2000);
  expect(order).toHaveLength(2000);
  expect(await boundary.lane(customer)).toMatchObject({ queued: 0, held: 0 });
  await boundary.proveAll();
});

it('lets no endpoint that is slow, but answers, stand in the way of one that is quick', async () => {
  const [quick, slow] = [
    await boundary.customer({}, { window_size: 64, window_max: 64 }),
    await boundary.customer({}, { window_size: 400, window_max: 400 }),
  ];
  boundary.answering(slow, { status: 200, afterMs: 400 });
  await boundary.publish(slow, 800);
  await boundary.untilHits(slow, 16);
  await boundary.publish(quick, 2000);
  // By the loop alone it was a window a second.
  await boundary.untilCounts(quick, { delivered: 2000 }, 10_000);
  expect(boundary.hitsOf(slow).length).toBeLessThan(700);
  // What it may not start yet stands in the queue, for others too.
  expect((await boundary.workers[0].metrics.claimed.get()).values[0].value).toBeLessThan(200);
});

it('gives back at a stop what it takes on at that moment', async () => {
  const customer = await boundary.customer({}, { window_size: 64, window_max: 64 });
  const [worker] = boundary.workers;
  await boundary.publish(customer, 1000);
  const insert = worker.queue.insert.bind(worker.queue);
  let [begin, end]: (() => void)[] = [];
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const ended = new Promise<void>((resolve) => (end = resolve));
  const took: number[] = [];
  // Who promotes is in the middle of it while the pump stops, and all that was under way ends.
  vi.spyOn(worker.queue, 'insert').mockImplementation(async (tx, tickets, options) => {
    took.push(tickets.filter(({ claimed }) => claimed).length);
    begin();
    await ended;
    return insert(tx, tickets, options);
  });
  await begun;
  const stopped = worker.stop();
  await boundary.until(
    async () => (await worker.metrics.inFlight.get()).values[0].value,
    (n) => n === 0,
  );
  // It has given back what it had, and waits for what is written.
  for (let n = 0; n < 3; n++) await boundary.database.query('SELECT 1');
  end();
  await stopped;
  expect(took[0]).toBeGreaterThan(0);
  const { delivered, ...rest } = await boundary.counts(customer);
  expect((rest['queued'] ?? 0) + (rest['held'] ?? 0)).toBe(1000 - delivered);
  expect(boundary.hitsOf(customer)).toHaveLength(delivered);
  // For whoever comes next, at once.
  expect(await tickets(customer)).toEqual([{ state: 'created', n: rest['queued'] }]);
});
