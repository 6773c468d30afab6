/**
 * Real: PostgreSQL, pg-boss's tables, AcceptEvents, the statements of T2. Not real: the worker; outcomes are told.
 * Proves: a replay moves each delivery that matched exactly once, wherever its runner is killed, however often it is
 * asked for, and none that changed in the meantime.
 */
import 'reflect-metadata';
import { STAFF, type Scope } from '@app/contracts';
import { ReplayRunner, Replays, StartReplay, type ReplayRequest } from '@app/console';
import { fromPublicId, systemClock, systemRandom } from '@app/domain';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { registerSubscriber, type Fixture } from '../support/fixtures.js';
import { Bench } from './console-fixture.js';

let bench: Bench;
let replays: Replays;
const startReplay = new StartReplay(systemClock, systemRandom);

beforeAll(async () => {
  bench = await Bench.open();
  replays = new Replays(bench.database);
});
afterAll(() => bench.close());
/** Whatever a test did, the promises hold after it. */
afterEach(() => bench.proveAll());

const HOUR_MS = 3_600_000;

const times = <T>(count: number, row: T): T[] => Array.from({ length: count }, () => row);

function ask(overrides: Partial<ReplayRequest> = {}): ReplayRequest {
  const hour = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
  return {
    subscriberId: null,
    endpointId: null,
    eventType: null,
    status: 'failed',
    since: new Date(hour - HOUR_MS),
    until: new Date(hour + HOUR_MS),
    dryRun: false,
    ...overrides,
  };
}

const start = (request: ReplayRequest, scope: Scope = STAFF) =>
  bench.database.transaction((tx) => startReplay.start(tx, scope, request));
const show = async (id: string | null) => replays.one(STAFF, fromPublicId('rpl', id!)!);
/** Each call is a runner of its own, as after a kill -9. */
const runOnce = (batch = 10) => new ReplayRunner(bench.database, bench.road.queue, batch).runOnce();

async function runToEnd(batch = 10): Promise<void> {
  while ((await runOnce(batch)) !== null);
}

async function failed(count: number, urls = ['https://example.com/a']): Promise<Fixture> {
  const customer = await registerSubscriber(bench.database, urls);
  await bench.publish(customer.subscriberId, count);
  await bench.failAll();
  return customer;
}

const pending = async ({ subscriberId }: Fixture) =>
  (await bench.deliveries(subscriberId)).filter((delivery) => delivery.status === 'pending');

describe('a replay', () => {
  it('dry: counts and writes nothing', async () => {
    const customer = await failed(3);
    expect(await start(ask({ subscriberId: customer.subscriberId, dryRun: true }))).toEqual({
      id: null,
      matched: 3,
      countedTo: null,
      alreadyRunning: false,
    });
    expect(await bench.database.query('SELECT 1 AS one FROM replays')).toEqual([]);
    expect(await runOnce()).toBeNull();
    expect(await pending(customer)).toEqual([]);
  });

  it('moves all that matched, in batches, and tags them', async () => {
    const customer = await failed(25);
    const { id, matched } = await start(ask({ subscriberId: customer.subscriberId }));
    expect(matched).toBe(25);
    expect(await runOnce()).toMatchObject({ resent: 10, state: 'running' });
    expect(await show(id)).toMatchObject({
      state: 'running',
      matched: 25,
      resent: 10,
      skipped: 0,
      finishedAt: null,
    });
    await runToEnd();
    expect(await show(id)).toMatchObject({
      state: 'done',
      resent: 25,
      skipped: 0,
      finishedAt: expect.any(Date),
    });
    const moved = await pending(customer);
    expect(moved).toHaveLength(25);
    for (const delivery of moved)
      expect(delivery).toMatchObject({
        trigger: 'replay',
        tries: 0,
        attempts: 1,
        replayId: fromPublicId('rpl', id!),
      });
    expect(await bench.lane(customer.endpointIds[0])).toEqual({ queued: 25, held: 0 });
    await bench.deliverAll();
    expect(await pending(customer)).toEqual([]);
  });

  it('resumes where a killed runner was: what it had not committed is done again, nothing twice', async () => {
    const customer = await failed(25);
    const { id } = await start(ask({ subscriberId: customer.subscriberId }));
    await runOnce();
    // Killed after its last statement, before its commit.
    const queue = bench.road.queue;
    const dying = {
      withdraw: queue.withdraw.bind(queue),
      notify: queue.notify.bind(queue),
      insert: async (...args: Parameters<typeof queue.insert>) => {
        await queue.insert(...args);
        throw new Error('kill -9');
      },
    };
    await expect(new ReplayRunner(bench.database, dying, 10).runOnce()).rejects.toThrow('kill -9');
    expect(await show(id)).toMatchObject({ resent: 10 });
    await runToEnd();
    expect(await show(id)).toMatchObject({ state: 'done', resent: 25 });
    expect(await bench.deliveries(customer.subscriberId)).toMatchObject(
      times(25, { status: 'pending', ticket: 3 }),
    );
    await bench.deliverAll();
  });

  it('run by four runners at once moves each delivery once', async () => {
    const customer = await failed(60);
    const { id } = await start(ask({ subscriberId: customer.subscriberId }));
    const runner = async () => {
      while ((await show(id)).state === 'running') await runOnce(7);
    };
    await Promise.all([runner(), runner(), runner(), runner()]);
    expect(await show(id)).toMatchObject({ state: 'done', resent: 60, skipped: 0 });
    expect(await bench.deliveries(customer.subscriberId)).toMatchObject(
      times(60, { status: 'pending', ticket: 3 }),
    );
    await bench.deliverAll();
  });

  it('holds what a lane has no room for', async () => {
    const customer = await failed(30);
    await bench.database.query(
      'UPDATE lanes SET window_size = 12 WHERE endpoint_id = $1',
      customer.endpointIds,
    );
    await start(ask({ subscriberId: customer.subscriberId }));
    await runToEnd();
    expect(await bench.lane(customer.endpointIds[0])).toEqual({ queued: 12, held: 18 });
    while ((await pending(customer)).length > 0) await bench.deliverAll();
    expect(await bench.lane(customer.endpointIds[0])).toEqual({ queued: 0, held: 0 });
  });

  it('stops when it is cancelled; cancelling twice is once, cancelling a done one is refused', async () => {
    const customer = await failed(25);
    const { id } = await start(ask({ subscriberId: customer.subscriberId }));
    await runOnce();
    const cancel = () =>
      bench.database.transaction((tx) => replays.cancel(tx, STAFF, fromPublicId('rpl', id!)!));
    expect(await cancel()).toMatchObject({ state: 'cancelled', resent: 10, finishedAt: expect.any(Date) });
    expect(await cancel()).toMatchObject({ state: 'cancelled' });
    expect(await runOnce()).toBeNull();
    expect(await pending(customer)).toHaveLength(10);
    await bench.deliverAll();

    const other = await start(ask({ subscriberId: customer.subscriberId, status: 'delivered' }));
    await runToEnd(100);
    const done = bench.database.transaction((tx) =>
      replays.cancel(tx, STAFF, fromPublicId('rpl', other.id!)!),
    );
    await expect(done).rejects.toMatchObject({ code: 'conflict' });
    await bench.deliverAll();
  });
});

describe('the same replay again', () => {
  it('while it runs is the one that runs, also when both come at once', async () => {
    const customer = await failed(5);
    const request = ask({ subscriberId: customer.subscriberId });
    const answers = await Promise.all([start(request), start(request), start(request)]);
    expect(new Set(answers.map((answer) => answer.id)).size).toBe(1);
    expect(answers.filter((answer) => !answer.alreadyRunning)).toHaveLength(1);
    await runToEnd();
    expect(await pending(customer)).toHaveLength(5);
    await bench.deliverAll();
  });

  it('after it is done moves nothing that is still pending', async () => {
    const customer = await failed(5);
    const request = ask({ subscriberId: customer.subscriberId });
    await start(request);
    await runToEnd();
    const again = await start(request);
    expect(again).toMatchObject({ matched: 0, alreadyRunning: false });
    await runToEnd();
    expect(await bench.deliveries(customer.subscriberId)).toMatchObject(times(5, { ticket: 3 }));
    await bench.deliverAll();
  });
});

describe('a replay leaves alone', () => {
  it('what fails again, succeeds or is resent while it runs', async () => {
    const customer = await failed(25);
    const { id } = await start(ask({ subscriberId: customer.subscriberId }));
    await runOnce();
    // What it has moved fails again before it ends: it must not go round in circles.
    await bench.failAll();
    const rest = (await bench.deliveries(customer.subscriberId)).slice(10);
    await bench.database.query(`UPDATE deliveries SET updated_at = now() WHERE id = $1`, [rest[0].id]);
    await runToEnd();
    expect(await show(id)).toMatchObject({ state: 'done', matched: 25, resent: 24, skipped: 1 });
    expect(await pending(customer)).toHaveLength(14);
    await bench.deliverAll();
  });

  it('deliveries of stopped endpoints, and counts them as skipped', async () => {
    const customer = await failed(4, ['https://example.com/a', 'https://example.com/b']);
    await bench.database.query('UPDATE endpoints SET disabled_at = now() WHERE id = $1', [
      customer.endpointIds[1],
    ]);
    const { id } = await start(ask({ subscriberId: customer.subscriberId }));
    await runToEnd();
    expect(await show(id)).toMatchObject({ state: 'done', matched: 8, resent: 4, skipped: 4 });
    await bench.deliverAll();
  });

  it('other endpoints, types, subscribers and times', async () => {
    const mine = await failed(3, ['https://example.com/a', 'https://example.com/b']);
    const theirs = await failed(3);
    const count = async (overrides: Partial<ReplayRequest>, scope?: Scope) =>
      (await start(ask({ subscriberId: mine.subscriberId, dryRun: true, ...overrides }), scope)).matched;
    expect(await count({})).toBe(6);
    expect(await count({ endpointId: mine.endpointIds[0] })).toBe(3);
    expect(await count({ eventType: 'thing.happened' })).toBe(6);
    expect(await count({ eventType: 'thing.other' })).toBe(0);
    expect(await count({ status: 'delivered' })).toBe(0);
    expect(await count({ until: new Date(Date.now() - HOUR_MS / 2) })).toBe(0);

    const bound: Scope = { kind: 'subscriber', subscriberId: mine.subscriberId };
    expect(await count({ subscriberId: null }, bound)).toBe(6);
    await expect(count({ subscriberId: theirs.subscriberId }, bound)).rejects.toMatchObject({
      code: 'unknown_subscriber',
    });
    await start(ask({ endpointId: theirs.endpointIds[0] }), bound);
    await runToEnd();
    expect(await pending(theirs)).toEqual([]);
    const { id } = await start(ask({ subscriberId: theirs.subscriberId }));
    await expect(replays.one(bound, fromPublicId('rpl', id!)!)).rejects.toMatchObject({ code: 'not_found' });
    const seen = await replays.list(bound, undefined, { limit: 250 });
    expect(seen.map(({ item }) => item.filters.subscriber)).not.toContain(null);
    expect(seen.some(({ item }) => item.id === id)).toBe(false);
    await runToEnd();
    await bench.deliverAll();
  });

  it.each([
    ['until before since', { until: new Date(0) }, '/until'],
    [
      'a span that lies ahead',
      { since: new Date(Date.now() + HOUR_MS), until: new Date(Date.now() + 2 * HOUR_MS) },
      '/since',
    ],
    ['a span of more than 31 days', { since: new Date(Date.now() - 32 * 24 * HOUR_MS) }, '/since'],
  ])('nothing: it refuses %s', async (_, overrides, pointer) => {
    await expect(start(ask(overrides))).rejects.toMatchObject({
      code: 'invalid_request',
      extra: { errors: [{ pointer }] },
    });
  });
});
