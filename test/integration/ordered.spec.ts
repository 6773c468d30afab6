/**
 * Promise: an ordered endpoint gets its events one after the other in the order of acceptance, or those of each ordering key;
 * what fails blocks those behind it until it is over. No key is left behind, and no turn is lost.
 * Real: PostgreSQL, pg-boss, three pumps, HTTP.
 */
import { STAFF } from '@app/contracts';
import { CancelDelivery, ResendDelivery } from '@app/console';
import { seededRandom } from '@app/domain';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Boundary, type Customer, type Hit } from './boundary-fixture.js';

let boundary: Boundary;
beforeAll(async () => {
  boundary = await Boundary.open({ workers: 3 });
});
afterAll(() => boundary.close());
afterEach(() => boundary.proveAll());

// Again at once: retries are found by polling, so each costs half a second at most.
const AGAIN = {
  type: 'fixed',
  delaySeconds: 0,
  jitter: 'none',
  attemptsMax: 30,
  ageMaxSeconds: 3600,
  retryClientErrors: false,
};
const LATER = { ...AGAIN, delaySeconds: 3600, ageMaxSeconds: 86_400 };

const ordered = (columns: Record<string, unknown> = {}): Promise<Customer> =>
  boundary.customer({ ordered: true, retry_policy: AGAIN, ...columns });
const cancel = (id: string) =>
  boundary.database.transaction((tx) => new CancelDelivery().cancel(tx, STAFF, id));
const resend = (id: string) =>
  boundary.database.transaction((tx) => new ResendDelivery(boundary.workers[0].queue).resend(tx, STAFF, id));
const numbers = (hits: Hit[]): number[] => hits.map(({ data }) => data.n);
const upTo = (count: number, from = 0): number[] => Array.from({ length: count }, (_, n) => from + n);
const succeeded = (customer: Customer): Hit[] =>
  boundary.hitsOf(customer).filter(({ status }) => status === 200);
const untilNoKeys = (customer: Customer) =>
  boundary.until(
    () => boundary.keys(customer),
    (keys) => keys.length === 0,
  );

/** Of each key no request begins before the one before it was answered, and the successes are in order of acceptance. */
function expectOrder(hits: Hit[]): void {
  for (const own of Map.groupBy(hits, ({ data }) => data.key ?? '').values()) {
    for (const [at, hit] of own.entries())
      if (at > 0) expect(hit.atMs).toBeGreaterThanOrEqual(own[at - 1].answeredMs);
    const good = numbers(own.filter(({ status }) => status === 200));
    expect(good).toEqual([...good].sort((a, b) => a - b));
  }
}

describe('an ordered endpoint', () => {
  it('gets everything one after the other, in the order of acceptance', async () => {
    const customer = await ordered();
    // In many requests at once: the order is the one in which they were accepted, whoever accepted them.
    boundary.answering(customer, { status: 200, afterMs: 2 });
    for (let from = 0; from < 60; from += 20) await boundary.publish(customer, 20, { from });
    await boundary.untilCounts(customer, { delivered: 60 });
    expect(numbers(boundary.hitsOf(customer))).toEqual(upTo(60));
    expectOrder(boundary.hitsOf(customer));
    await untilNoKeys(customer);
  });

  it('keeps the order when events fail at random and are tried again', async () => {
    const customer = await ordered();
    const random = seededRandom(11);
    boundary.answering(customer, () => (random.next() < 0.25 ? 500 : 200));
    await boundary.publish(customer, 20);
    await boundary.untilCounts(customer, { delivered: 20 }, 25_000);
    expect(numbers(succeeded(customer))).toEqual(upTo(20));
    expect(boundary.hitsOf(customer).length).toBeGreaterThan(20);
    expectOrder(boundary.hitsOf(customer));
    await untilNoKeys(customer);
  });

  it('serves its ordering keys side by side, each in its order', async () => {
    const customer = await ordered();
    const random = seededRandom(5);
    let underWay = 0;
    let most = 0;
    boundary.answering(customer, (hit) => {
      most = Math.max(most, ++underWay);
      setTimeout(() => {
        underWay--;
        boundary.reply(hit, random.next() < 0.1 ? 503 : 200);
      }, 10);
      return null;
    });
    await boundary.publish(customer, 60, { key: (n) => `k${n % 6}` });
    await boundary.publish(customer, 20, { from: 60 });
    await boundary.untilCounts(customer, { delivered: 80 }, 25_000);
    expectOrder(boundary.hitsOf(customer));
    expect(most).toBeGreaterThan(1);
    await untilNoKeys(customer);
  });

  it('accepts while it delivers: nobody publishes into a key that is just being left', async () => {
    const customer = await ordered();
    for (let n = 0; n < 60; n++) {
      await boundary.publish(customer, 1, { from: n, key: (each) => `k${each % 2}` });
      if (n % 3 === 0)
        await boundary.until(
          () => boundary.hitsOf(customer).length,
          (count) => count > n,
        );
    }
    await boundary.untilCounts(customer, { delivered: 60 });
    expectOrder(boundary.hitsOf(customer));
    await untilNoKeys(customer);
  });

  it('is not stopped by an open circuit for longer than others: its head is the probe', async () => {
    const customer = await ordered();
    let broken = true;
    boundary.answering(customer, () => (broken ? 500 : 200));
    await boundary.publish(customer, 10);
    // oxlint-disable-next-line no-explicit-any
    await boundary.until<any>(
      () => boundary.lane(customer),
      (lane) => lane.circuit === 'open',
    );
    await boundary.untilCounts(customer, { held: 10 });
    // One more may have been on its way when the fifth was told. The lane hears of it after it is held, and when it hears of
    // the head's failure while the head is its probe, that is the probe's.
    // oxlint-disable-next-line no-explicit-any
    await boundary.until<any>(
      () => boundary.lane(customer),
      (lane) => lane.failing_attempts === boundary.hitsOf(customer).length,
    );
    expect(new Set(numbers(boundary.hitsOf(customer)))).toEqual(new Set([0]));
    broken = false;
    await boundary.set('lanes', customer, { open_until: new Date(Date.now() - 1000) });
    expect(await boundary.workers[1].lanes.sendProbes()).toBe(1);
    await boundary.untilCounts(customer, { delivered: 10 });
    expect(numbers(succeeded(customer))).toEqual(upTo(10));
    expectOrder(boundary.hitsOf(customer));
    await untilNoKeys(customer);
  });
});

describe('what fails for good', () => {
  it('blocks its key, and only that, until staff cancel it', async () => {
    const customer = await ordered();
    boundary.answering(customer, ({ data }) => (data.n === 2 ? 400 : 200));
    const ids = await boundary.publish(customer, 10, { key: (n) => (n % 2 === 0 ? 'even' : 'odd') });
    await boundary.untilCounts(customer, { delivered: 6, failed: 1, held: 3 });
    const [key] = await boundary.until(
      () => boundary.keys(customer),
      (keys) => keys.length === 1,
    );
    expect(key).toEqual({ key: 'even', state: 'blocked', delivery_id: ids[2] });
    await boundary.workers[0].lanes.promoteStalled();
    expect(await boundary.counts(customer)).toEqual({ delivered: 6, failed: 1, held: 3 });
    await cancel(ids[2]);
    await boundary.untilCounts(customer, { delivered: 9, cancelled: 1 });
    expectOrder(boundary.hitsOf(customer));
    await untilNoKeys(customer);
  });

  it('lets those behind it follow where the endpoint says skip', async () => {
    const customer = await ordered({ ordered_failure: 'skip' });
    boundary.answering(customer, ({ data }) => (data.n % 3 === 1 ? 400 : 200));
    await boundary.publish(customer, 10);
    await boundary.untilCounts(customer, { delivered: 7, failed: 3 });
    expect(numbers(boundary.hitsOf(customer))).toEqual(upTo(10));
    await untilNoKeys(customer);
  });

  it('goes first when it is resent, then those that waited for it', async () => {
    const customer = await ordered();
    let broken = true;
    boundary.answering(customer, ({ data }) => (data.n === 1 && broken ? 400 : 200));
    const ids = await boundary.publish(customer, 6);
    await boundary.untilCounts(customer, { delivered: 1, failed: 1, held: 4 });
    broken = false;
    await resend(ids[1]);
    await boundary.untilCounts(customer, { delivered: 6 });
    expect(numbers(succeeded(customer))).toEqual(upTo(6));
    expectOrder(boundary.hitsOf(customer));
    await untilNoKeys(customer);
  });

  it('cancelled while it waits for a retry lets the next one go', async () => {
    const customer = await ordered({ retry_policy: LATER });
    boundary.answering(customer, ({ data }) => (data.n === 0 ? 500 : 200));
    const ids = await boundary.publish(customer, 4);
    await boundary.untilCounts(customer, { waiting: 1, held: 3 });
    await cancel(ids[0]);
    await boundary.untilCounts(customer, { cancelled: 1, delivered: 3 });
    await untilNoKeys(customer);
  });

  it('a delivered one that is resent waits for its turn, and overlaps with nothing', async () => {
    const customer = await ordered();
    boundary.answering(customer, { status: 200, afterMs: 20 });
    const ids = await boundary.publish(customer, 3);
    await boundary.untilCounts(customer, { delivered: 3 });
    await boundary.publish(customer, 5, { from: 3 });
    await resend(ids[0]);
    await boundary.untilCounts(customer, { delivered: 8 });
    const hits = boundary.hitsOf(customer);
    expect(hits).toHaveLength(9);
    for (const [at, hit] of hits.entries())
      if (at > 0) expect(hit.atMs).toBeGreaterThanOrEqual(hits[at - 1].answeredMs);
    expect(numbers(hits).filter((n) => n >= 3)).toEqual(upTo(5, 3));
    await untilNoKeys(customer);
  });
});

describe('a change of mind', () => {
  it('ordered with a backlog: everything arrives, what is accepted from then on in order', async () => {
    const customer = await boundary.customer({ retry_policy: AGAIN }, { paused_at: new Date() });
    boundary.answering(customer, { status: 200, afterMs: 2 });
    await boundary.publish(customer, 15);
    await boundary.set('endpoints', customer, { ordered: true });
    await boundary.publish(customer, 15, { from: 15 });
    await boundary.set('lanes', customer, { paused_at: null });
    await boundary.workers[0].lanes.promoteStalled();
    await boundary.untilCounts(customer, { delivered: 30 });
    expect(numbers(boundary.hitsOf(customer)).filter((n) => n >= 15)).toEqual(upTo(15, 15));
    await untilNoKeys(customer);
  });

  it('no longer ordered with a backlog: what was ordered keeps its order, a block stops only that', async () => {
    const customer = await ordered();
    boundary.answering(customer, ({ data }) => (data.n === 1 ? 400 : 200));
    const ids = await boundary.publish(customer, 6);
    await boundary.untilCounts(customer, { delivered: 1, failed: 1, held: 4 });
    await boundary.set('endpoints', customer, { ordered: false });
    await boundary.publish(customer, 5, { from: 100 });
    // The loop, or a promotion that still followed from the deliveries before: whoever comes first.
    await boundary.until(
      async () => {
        await boundary.workers[0].lanes.promoteStalled();
        return boundary.counts(customer);
      },
      (counts) => counts.delivered === 6,
    );
    await boundary.untilCounts(customer, { delivered: 6, failed: 1, held: 4 });
    await cancel(ids[1]);
    await boundary.untilCounts(customer, { delivered: 10, cancelled: 1 });
    expect(numbers(succeeded(customer)).filter((n) => n < 100)).toEqual([0, 2, 3, 4, 5]);
    await untilNoKeys(customer);
  });

  it('deleted: everything is cancelled and no key stays', async () => {
    const customer = await ordered({ retry_policy: LATER });
    boundary.answering(customer, ({ data }) => (data.key === 'a' ? 500 : data.key === 'b' ? 400 : 200));
    await boundary.publish(customer, 12, { key: (n) => 'abc'[n % 3] });
    await boundary.untilCounts(customer, { waiting: 1, failed: 1, held: 6, delivered: 4 });
    await boundary.set('endpoints', customer, { deleted_at: new Date() });
    for (let round = 0; round < 3; round++) await boundary.workers[0].lanes.cancelStopped();
    await boundary.untilCounts(customer, { cancelled: 7, failed: 1, delivered: 4 });
    for (const worker of boundary.workers) await worker.lanes.promoteStalled();
    // The key of the failed one is freed by the loop: nothing waits behind it any more.
    await boundary.database.query(
      `UPDATE ordering_keys SET changed_at = now() - interval '2 minutes' WHERE endpoint_id = $1`,
      [customer.endpointId],
    );
    await boundary.workers[1].lanes.freeKeys();
    await untilNoKeys(customer);
  });
});

it('a turn that a worker forgot to pass on is found by the loop', async () => {
  const customer = await ordered();
  await boundary.set('lanes', customer, { paused_at: new Date() });
  const ids = await boundary.publish(customer, 3);
  await boundary.database.query(
    `UPDATE ordering_keys SET state = 'busy', delivery_id = $2, changed_at = now() - interval '2 minutes' WHERE endpoint_id = $1`,
    [customer.endpointId, ids[0]],
  );
  expect(await boundary.workers[0].lanes.freeKeys()).toBe(1);
  await boundary.set('lanes', customer, { paused_at: null });
  await boundary.workers[0].lanes.promoteStalled();
  await boundary.untilCounts(customer, { delivered: 3 });
  expect(numbers(boundary.hitsOf(customer))).toEqual(upTo(3));
  await untilNoKeys(customer);
});
