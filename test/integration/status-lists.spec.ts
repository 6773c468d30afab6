/**
 * Real: PostgreSQL, pg-boss's tables, AcceptEvents, the statements of T2. Not real: the worker; outcomes are told.
 * Proves: lists show what was asked for and nothing of another subscriber, page by page without gaps or repeats; one
 * delivery shows its whole story, the attempt to come included.
 */
import 'reflect-metadata';
import { STAFF, type Scope } from '@app/contracts';
import { ListDeliveriesQueryDto, StartReplayDto } from '@app/dto';
import { findSubscriber, ReadDeliveries, ReadEvents } from '@app/console';
import { fromPublicId, toPublicId, uuidFloor, uuidTimeMs } from '@app/domain';
import { listDeliveries, LOOKED_AT_MAX, type DeliveryFilter } from '@app/persistence';
import { plainToInstance } from 'class-transformer';
import { validateSync } from 'class-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { registerSubscriber, type Fixture } from '../support/fixtures.js';
import { Bench } from './console-fixture.js';

let bench: Bench;
let read: ReadDeliveries;
let events: ReadEvents;
let mine: Fixture;
let theirs: Fixture;
let bound: Scope;

beforeAll(async () => {
  bench = await Bench.open();
  read = new ReadDeliveries(bench.database);
  events = new ReadEvents(bench.database);
  mine = await registerSubscriber(bench.database, ['https://example.com/a', 'https://example.com/b']);
  theirs = await registerSubscriber(bench.database, ['https://example.com/c']);
  bound = { kind: 'subscriber', subscriberId: mine.subscriberId };
  for (const { subscriberId } of [mine, theirs]) {
    await bench.publish(subscriberId, 3);
    await bench.deliverAll();
    await bench.publish(subscriberId, 2);
    await bench.failAll();
    await bench.publish(subscriberId, 1);
    await bench.record(
      await bench.claim(),
      { status: 'pending', place: 'waiting', inSeconds: 3600 },
      'connect_refused',
    );
  }
});
afterAll(() => bench.close());

const list = async (filter: DeliveryFilter, scope: Scope = STAFF) =>
  (await read.list(scope, filter, { limit: 250 })).rows.map(({ item }) => item);

describe('the list of deliveries', () => {
  it.each<[DeliveryFilter, number]>([
    [{}, 18],
    [{ status: 'failed' }, 6],
    [{ status: 'delivered' }, 9],
    [{ status: 'pending' }, 3],
    [{ status: 'cancelled' }, 0],
    [{ failure: 'connect_refused' }, 3],
    [{ failure: 'http_5xx' }, 6],
    [{ eventType: 'thing.happened' }, 18],
    [{ eventType: 'thing.other' }, 0],
    [{ since: new Date(0), until: new Date(8.64e15) }, 18],
    [{ until: new Date(0) }, 0],
    [{ since: new Date(8.64e15) }, 0],
  ])('with %o shows %i to staff', async (filter, count) => {
    expect(await list(filter)).toHaveLength(count);
  });

  it('by subscriber, by endpoint, and both against each other', async () => {
    expect(await list({ subscriberId: mine.subscriberId })).toHaveLength(12);
    expect(await list({ endpointId: mine.endpointIds[0] })).toHaveLength(6);
    expect(await list({ endpointId: mine.endpointIds[0], status: 'failed' })).toHaveLength(2);
    expect(await list({ endpointId: mine.endpointIds[0], subscriberId: theirs.subscriberId })).toEqual([]);
  });

  it('cuts time at the millisecond of the delivery’s id', async () => {
    const rows = await bench.deliveries(theirs.subscriberId);
    const at = uuidTimeMs(rows[3].id);
    const earlier = rows.filter((row) => uuidTimeMs(row.id) < at).length;
    expect(await list({ subscriberId: theirs.subscriberId, since: new Date(at) })).toHaveLength(
      rows.length - earlier,
    );
    expect(await list({ subscriberId: theirs.subscriberId, until: new Date(at) })).toHaveLength(earlier);
  });

  it('newest first, page by page, without gaps or repeats', async () => {
    const seen: string[] = [];
    for (let after: string | undefined; ;) {
      const { rows } = await listDeliveries(bench.database, STAFF, {}, { limit: 5, after });
      seen.push(...rows.slice(0, 5).map((row) => row.id));
      if (rows.length <= 5) break;
      after = rows[4].id;
    }
    expect(new Set(seen).size).toBe(18);
    expect(seen).toEqual([...seen].sort().reverse());
  });

  it('shows a bound key nothing of another subscriber, whatever it asks for', async () => {
    expect(await list({}, bound)).toHaveLength(12);
    expect(await list({ subscriberId: theirs.subscriberId }, bound)).toEqual([]);
    expect(await list({ endpointId: theirs.endpointIds[0] }, bound)).toEqual([]);
    const [foreign] = await bench.deliveries(theirs.subscriberId);
    await expect(read.one(bound, foreign.id)).rejects.toMatchObject({ code: 'not_found' });
    expect(
      (await listDeliveries(bench.database, bound, {}, { limit: 250, after: foreign.id })).rows.every(
        (row) => row.subscriberId === mine.subscriberId,
      ),
    ).toBe(true);
    expect(await findSubscriber(bench.database, bound, theirs.externalId)).toBeUndefined();
    expect(await findSubscriber(bench.database, STAFF, theirs.externalId)).toBe(theirs.subscriberId);
  });
});

describe('one delivery', () => {
  it('that waits for a retry shows its attempt and the one to come', async () => {
    const { id } = (await bench.deliveries(mine.subscriberId)).at(-1)!;
    const shown = await read.one(bound, id);
    expect(shown).toMatchObject({
      id: toPublicId('dlv', id),
      status: 'pending',
      trigger: 'retry',
      failure: 'connect_refused',
      nextAttempt: { code: 'retry_schedule', at: expect.any(Date) },
      event: { type: 'thing.happened', version: '1', data: '{"n":0}' },
      endpoint: { stopped: null },
    });
    expect(shown.timeline).toHaveLength(2);
    expect(shown.timeline[0]).toMatchObject({
      n: 1,
      status: 'failed',
      trigger: 'event',
      late: false,
      statusCode: 503,
      timings: { dnsMs: 1, connectMs: 2, tlsMs: null, firstByteMs: 3, totalMs: 4 },
      response: {
        headers: { 'content-type': 'text/plain' },
        body: 'thanks',
        encoding: 'utf8',
        truncated: false,
      },
      worker: 'test:1',
    });
    expect(shown.timeline[1]).toMatchObject({
      id: null,
      n: 2,
      status: 'pending',
      trigger: 'retry',
      url: shown.endpoint.url,
    });
    expect(shown.timeline[1].dueAt).toEqual(shown.nextAttempt!.at);
    expect(shown.timeline[1].dueAt!.getTime() - Date.now()).toBeGreaterThan(3_500_000);
  });

  it('that is over has nothing to come', async () => {
    const [first] = await bench.deliveries(mine.subscriberId);
    const shown = await read.one(STAFF, first.id);
    expect(shown).toMatchObject({ status: 'delivered', nextAttempt: null, statusCode: 200, failure: null });
    expect(shown.timeline.map((attempt) => attempt.status)).toEqual(['delivered']);
  });

  it('finds the attempts of a worker whose clock is half an hour behind', async () => {
    const [first] = await bench.deliveries(mine.subscriberId);
    const behind = (uuidTimeMs(first.id) - 1_800_000).toString(16).padStart(12, '0');
    await bench.database.query(
      `UPDATE attempts SET id = overlay(replace(id::text, '-', '') placing $2 from 1)::uuid WHERE delivery_id = $1`,
      [first.id, behind],
    );
    expect((await read.one(STAFF, first.id)).timeline).toHaveLength(1);
  });
});

describe('events', () => {
  it('are listed with how their deliveries stand', async () => {
    const { rows } = await events.list(bound, {}, { limit: 250 });
    expect(rows).toHaveLength(6);
    expect(rows.map(({ item }) => item.matched)).toEqual([2, 2, 2, 2, 2, 2]);
    expect(rows[0].item.counts).toEqual({ pending: 2, delivered: 0, failed: 0, cancelled: 0 });
    expect(rows[1].item.counts).toEqual({ pending: 0, delivered: 0, failed: 2, cancelled: 0 });
    expect(rows[5].item.counts).toEqual({ pending: 0, delivered: 2, failed: 0, cancelled: 0 });
    expect((await events.list(bound, { subscriberId: theirs.subscriberId }, { limit: 250 })).rows).toEqual(
      [],
    );
    expect(await events.list(STAFF, { type: 'thing.other' }, { limit: 250 })).toEqual({
      rows: [],
      lookedTo: null,
    });
  });

  it('that matched nothing, or only disabled endpoints, are found and say so', async () => {
    const nobody = await registerSubscriber(bench.database, []);
    const [unmatched] = await bench.publish(nobody.subscriberId);
    expect(await events.one(STAFF, unmatched)).toMatchObject({
      matched: 0,
      note: 'no_matching_endpoint',
      deliveries: [],
    });
    const asleep = await registerSubscriber(bench.database, ['https://example.com/d']);
    await bench.database.query('UPDATE endpoints SET disabled_at = now() WHERE id = $1', asleep.endpointIds);
    const [disabled] = await bench.publish(asleep.subscriberId);
    expect(await events.one(STAFF, disabled)).toMatchObject({
      matched: 1,
      note: 'only_disabled_endpoints',
      counts: { cancelled: 1 },
      data: '{"n":0}',
      deliveries: [{ status: 'cancelled', cancelReason: 'endpoint_disabled' }],
    });
    await expect(events.one(bound, unmatched)).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('a filter', () => {
  const id = toPublicId('ep', '0193cfa4-7e30-7d6f-9b6e-4a4d4e2b1a21');
  const accepts = (dto: typeof ListDeliveriesQueryDto | typeof StartReplayDto, query: object): boolean =>
    validateSync(plainToInstance(dto as new () => object, query), {
      whitelist: true,
      forbidNonWhitelisted: true,
    }).length === 0;

  it.each([
    [{ status: 'failed', endpoint: id, eventType: 'a.b', failure: 'http_5xx', limit: '5' }, true],
    [{ since: '2026-11-22', until: '2026-11-22T10:00:00.123456+01:00' }, true],
    [{ subscriber: 'acme corp' }, true],
    [{ subscriber: toPublicId('sub', '0193cfa4-7e30-7d6f-9b6e-4a4d4e2b1a21') }, true],
    [{ subscriber: 'sub_nonsense' }, false],
    [{ subscriber: 'a\0b' }, false],
    [{ subscriber: ['a', 'b'] }, false],
    [{ endpoint: 'ep_nonsense' }, false],
    [{ endpoint: id.toUpperCase() }, false],
    [{ eventType: 'a..b' }, false],
    [{ eventType: 'a\0' }, false],
    [{ failure: 'bad luck' }, false],
    [{ status: 'done' }, false],
    [{ since: '2026-11-22T10:00:00' }, false],
    [{ since: 'yesterday' }, false],
    [{ limit: '251' }, false],
    [{ nothing: 'known' }, false],
  ])('%o is accepted: %s', (query, accepted) => {
    expect(accepts(ListDeliveriesQueryDto, query)).toBe(accepted);
  });

  it('of a replay must say since and until', () => {
    expect(accepts(StartReplayDto, { since: '2026-11-22', until: '2026-11-23' })).toBe(true);
    expect(accepts(StartReplayDto, { since: '2026-11-22' })).toBe(false);
    expect(accepts(StartReplayDto, { since: '2026-11-22', until: '2026-11-23', status: 'pending' })).toBe(
      false,
    );
    expect(fromPublicId('ep', id)).toBeDefined();
  });
});

describe('a filter that few match', () => {
  it('is looked for in a bounded number of rows a page; the next page goes on from there', async () => {
    const { subscriberId, endpointIds } = await registerSubscriber(bench.database, ['https://example.com/d']);
    const total = 2 * LOOKED_AT_MAX + 10;
    // Ids of a year ago, the rare one the oldest of them.
    const at = 1_760_000_000_000;
    await bench.database.query(
      `INSERT INTO deliveries (id, subscriber_id, event_id, endpoint_id, event_type, status, trigger, finished_at)
       SELECT (left($3::text, 18) || '-8000-' || lpad(to_hex(n), 12, '0'))::uuid, $1, $1, $2,
              CASE n WHEN 1 THEN 'thing.rare' ELSE 'thing.happened' END, 'delivered', 'event', now() FROM generate_series(1, $4::int) n`,
      [subscriberId, endpointIds[0], uuidFloor(at).replace(/-0000-0000/, '-7000-8000'), total],
    );
    for (const filter of [{ subscriberId }, { endpointId: endpointIds[0] }]) {
      const pages: number[] = [];
      for (let after: string | undefined; ;) {
        const rare = { ...filter, eventType: 'thing.rare' };
        const { rows, lookedTo } = await read.list(STAFF, rare, { limit: 50, after });
        pages.push(rows.length);
        if (lookedTo === null) break;
        after = lookedTo;
      }
      expect(pages).toEqual([0, 0, 1]);
    }
    const none = await read.list(bound, { endpointId: endpointIds[0], status: 'cancelled' }, { limit: 50 });
    expect(none).toEqual({ rows: [], lookedTo: null });
  });
});
