/**
 * Real: PostgreSQL, pg-boss's tables, AcceptEvents, the statements of T2. Not real: the worker; outcomes are told.
 * Proves: a resend never makes a second ticket, keeps the lanes exact, and passes no border between subscribers.
 */
import 'reflect-metadata';
import { STAFF, type Scope } from '@app/contracts';
import { ResendDelivery } from '@app/console';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { registerSubscriber, type Fixture } from '../support/fixtures.js';
import { Bench, type Delivery } from './console-fixture.js';

let bench: Bench;
let resendDelivery: ResendDelivery;

beforeAll(async () => {
  bench = await Bench.open();
  resendDelivery = new ResendDelivery(bench.road.queue);
});
afterAll(() => bench.close());

/** Whatever a test did, the promises hold after it. */
afterEach(async () => {
  await bench.proveAll();
  await bench.deliverAll();
  await bench.database.query(`UPDATE lanes SET paused_at = NULL`);
  // What is left waiting or held is over with its subscriber; the tables of each test are its own.
  await bench.database.query(`DELETE FROM pgboss.job`);
  await bench.database.query(`DELETE FROM deliveries`);
  await bench.database.query(`DELETE FROM attempts`);
  await bench.database.query(`DELETE FROM events`);
  await bench.database.query(`UPDATE lanes SET queued = 0, held = 0, waiting = 0`);
});

const resend = (id: string, scope: Scope = STAFF) =>
  bench.database.transaction((tx) => resendDelivery.resend(tx, scope, id));

async function published(count = 1): Promise<{ customer: Fixture; deliveries: Delivery[] }> {
  const customer = await registerSubscriber(bench.database, ['https://example.com/a']);
  await bench.publish(customer.subscriberId, count);
  return { customer, deliveries: await bench.deliveries(customer.subscriberId) };
}

describe('a delivery that is over', () => {
  it.each([
    ['failed', () => bench.failAll()],
    ['delivered', () => bench.deliverAll()],
  ])('%s: starts again with a fresh schedule, one ticket and a place', async (_, finish) => {
    const { customer, deliveries } = await published();
    await finish();
    const answer = await resend(deliveries[0].id);
    expect(answer.result).toBe('queued');
    expect(answer.delivery).toMatchObject({
      status: 'pending',
      trigger: 'resend',
      attempts: 1,
      failure: null,
      finishedAt: null,
    });
    expect(answer.delivery.nextAttempt).toMatchObject({ code: 'resend' });
    const [after] = await bench.deliveries(customer.subscriberId);
    expect(after).toMatchObject({ place: 'queued', tries: 0, attempts: 1 });
    expect(await bench.tickets(after.id)).toMatchObject([{ state: 'created' }]);
    expect(await bench.lane(after.endpointId)).toEqual({ queued: 1, held: 0 });
    await bench.deliverAll();
    expect(await bench.deliveries(customer.subscriberId)).toMatchObject([
      { status: 'delivered', attempts: 2, tries: 1 },
    ]);
  });

  it('cancelled for a disabled endpoint: refused until it is enabled', async () => {
    const customer = await registerSubscriber(bench.database, ['https://example.com/a']);
    await bench.database.query(
      `UPDATE endpoints SET disabled_at = now() WHERE id = $1`,
      customer.endpointIds,
    );
    await bench.publish(customer.subscriberId);
    const [delivery] = await bench.deliveries(customer.subscriberId);
    expect(delivery).toMatchObject({ status: 'cancelled', cancelReason: 'endpoint_disabled' });
    await expect(resend(delivery.id)).rejects.toMatchObject({
      code: 'conflict',
      detail: expect.stringContaining('Enable it first'),
    });
    await bench.database.query(`UPDATE endpoints SET disabled_at = NULL WHERE id = $1`, customer.endpointIds);
    expect((await resend(delivery.id)).result).toBe('queued');
    expect(await bench.deliveries(customer.subscriberId)).toMatchObject([
      { status: 'pending', cancelReason: null },
    ]);
  });

  it('is refused when the endpoint or the subscriber is deleted, or the event is no longer stored', async () => {
    const { customer, deliveries } = await published();
    await bench.failAll();
    const refused = (detail: string) =>
      expect(resend(deliveries[0].id)).rejects.toMatchObject({
        code: 'conflict',
        detail: expect.stringContaining(detail),
      });
    await bench.database.query(`UPDATE endpoints SET deleted_at = now() WHERE id = $1`, customer.endpointIds);
    await refused('endpoint was deleted');
    await bench.database.query(`UPDATE endpoints SET deleted_at = NULL WHERE id = $1`, customer.endpointIds);
    await bench.database.query(`UPDATE subscribers SET deleted_at = now() WHERE id = $1`, [
      customer.subscriberId,
    ]);
    await refused('subscriber was deleted');
    await bench.database.query(`UPDATE subscribers SET deleted_at = NULL WHERE id = $1`, [
      customer.subscriberId,
    ]);
    const [event] = await bench.database.query<{ id: string }>(`DELETE FROM events RETURNING *`);
    await refused('no longer stored');
    await bench.database.query(`DELETE FROM deliveries WHERE event_id = $1`, [event.id]);
  });

  it('is held when its lane is paused or full', async () => {
    const { customer, deliveries } = await published(2);
    await bench.failAll();
    await bench.database.query(
      `UPDATE lanes SET paused_at = now() WHERE endpoint_id = $1`,
      customer.endpointIds,
    );
    const paused = await resend(deliveries[0].id);
    expect(paused.result).toBe('held');
    expect(paused.delivery.nextAttempt).toMatchObject({ code: 'paused', at: null });
    await bench.database.query(
      `UPDATE lanes SET paused_at = NULL, window_size = 0 WHERE endpoint_id = $1`,
      customer.endpointIds,
    );
    const full = await resend(deliveries[1].id);
    expect(full.delivery.nextAttempt).toMatchObject({ code: 'lane_full', at: null });
    expect(await bench.lane(customer.endpointIds[0])).toEqual({ queued: 0, held: 2 });
    expect(await bench.tickets(deliveries[0].id)).toEqual([]);
  });
});

describe('a delivery that is pending', () => {
  it('with a retry in an hour: is brought forward, with one ticket, and goes on with its schedule', async () => {
    const { customer, deliveries } = await published();
    await bench.record(
      await bench.claim(),
      { status: 'pending', place: 'waiting', inSeconds: 3600 },
      'http_5xx',
    );
    expect(await bench.tickets(deliveries[0].id)).toMatchObject([{ in: expect.closeTo(3600, -2) }]);
    const answer = await resend(deliveries[0].id);
    expect(answer.result).toBe('brought_forward');
    const [after] = await bench.deliveries(customer.subscriberId);
    expect(after).toMatchObject({
      status: 'pending',
      place: 'waiting',
      trigger: 'resend',
      tries: 1,
      ticket: 3,
    });
    expect(after.dueIn).toBeLessThanOrEqual(0);
    const tickets = await bench.tickets(after.id);
    expect(tickets).toHaveLength(1);
    expect(tickets[0].in).toBeLessThanOrEqual(0);
    expect(await bench.lane(after.endpointId)).toEqual({ queued: 0, held: 0 });
    await bench.deliverAll();
    expect(await bench.deliveries(customer.subscriberId)).toMatchObject([
      { status: 'delivered', attempts: 2, tries: 2 },
    ]);
  });

  it('that is due already keeps its turn', async () => {
    const { deliveries } = await published();
    const before = await bench.database.query('SELECT created_on FROM pgboss.job');
    expect((await resend(deliveries[0].id)).result).toBe('queued');
    expect(await bench.database.query('SELECT created_on FROM pgboss.job')).toEqual(before);
  });

  it('that a worker has in its hands is left alone', async () => {
    const { customer, deliveries } = await published();
    const claimed = await bench.claim();
    const answer = await resend(deliveries[0].id);
    expect(answer.result).toBe('in_flight');
    expect(answer.delivery.nextAttempt).toMatchObject({ code: 'in_flight' });
    expect(await bench.deliveries(customer.subscriberId)).toMatchObject([{ ticket: deliveries[0].ticket }]);
    await bench.record(claimed, { status: 'delivered' });
    expect(await bench.tickets(deliveries[0].id)).toEqual([]);
  });

  it('held in an open lane gets a place at once, above the window; in a paused lane it stays', async () => {
    const { customer, deliveries } = await published(2);
    const [endpointId] = customer.endpointIds;
    await bench.deliverAll();
    await bench.database.query('UPDATE lanes SET window_size = 1 WHERE endpoint_id = $1', [endpointId]);
    await bench.publish(customer.subscriberId, 3);
    expect(await bench.lane(endpointId)).toEqual({ queued: 1, held: 2 });
    const held = (await bench.deliveries(customer.subscriberId)).filter((each) => each.place === 'held');
    expect((await resend(held[1].id)).result).toBe('brought_forward');
    expect(await bench.lane(endpointId)).toEqual({ queued: 2, held: 1 });
    expect(await bench.tickets(held[1].id)).toHaveLength(1);
    await bench.database.query('UPDATE lanes SET paused_at = now() WHERE endpoint_id = $1', [endpointId]);
    const answer = await resend(held[0].id);
    expect(answer).toMatchObject({ result: 'held', detail: expect.stringContaining('Resume') });
    expect(await bench.lane(endpointId)).toEqual({ queued: 2, held: 1 });
    expect(deliveries).toHaveLength(2);
  });

  it('that lost its ticket gets one', async () => {
    const { deliveries } = await published();
    await bench.database.query('DELETE FROM pgboss.job');
    expect((await resend(deliveries[0].id)).result).toBe('brought_forward');
    expect(await bench.tickets(deliveries[0].id)).toHaveLength(1);
  });
});

describe('at the same time', () => {
  it('ten resends of one failed delivery make one ticket and take one place', async () => {
    const { customer, deliveries } = await published();
    await bench.failAll();
    const answers = await Promise.all(Array.from({ length: 10 }, () => resend(deliveries[0].id)));
    expect(new Set(answers.map((answer) => answer.result))).toEqual(new Set(['queued']));
    expect(await bench.tickets(deliveries[0].id)).toHaveLength(1);
    expect(await bench.lane(deliveries[0].endpointId)).toEqual({ queued: 1, held: 0 });
    expect(await bench.deliveries(customer.subscriberId)).toMatchObject([{ ticket: 3 }]);
  });

  it('claims and resends of waiting deliveries never give one delivery two attempts at once', async () => {
    const { customer } = await published(40);
    await bench.record(
      await bench.claim(),
      { status: 'pending', place: 'waiting', inSeconds: 3600 },
      'http_5xx',
    );
    const rows = await bench.deliveries(customer.subscriberId);
    const claimed = new Map<string, number>();
    const state = { resending: true };
    const worker = async () => {
      while (state.resending) {
        const tickets = await bench.claim(5);
        for (const { deliveryId } of tickets) claimed.set(deliveryId, (claimed.get(deliveryId) ?? 0) + 1);
      }
    };
    const workers = [worker(), worker()];
    await Promise.all([...rows, ...rows].map((row) => resend(row.id)));
    state.resending = false;
    await Promise.all(workers);
    for (const { deliveryId } of await bench.claim())
      claimed.set(deliveryId, (claimed.get(deliveryId) ?? 0) + 1);
    expect(claimed.size).toBe(40);
    expect([...claimed.values()].every((times) => times === 1)).toBe(true);
  });
});

it('shows and moves nothing of another subscriber', async () => {
  const { deliveries } = await published();
  await bench.failAll();
  const other = await registerSubscriber(bench.database, ['https://example.com/b']);
  const scope: Scope = { kind: 'subscriber', subscriberId: other.subscriberId };
  await expect(resend(deliveries[0].id, scope)).rejects.toMatchObject({ code: 'not_found' });
  expect(await bench.deliveries(deliveries[0].subscriberId)).toMatchObject([{ status: 'failed', ticket: 2 }]);
});
