/**
 * Real: PostgreSQL, without statistics, as a partition is at midnight. A hot statement looks up some rows by their keys: it
 * must never walk a table, however large that is.
 */
import { BATCH_DELIVERIES_MAX, Problem, STAFF } from '@app/contracts';
import { newId, systemRandom, uuidTimeMs } from '@app/domain';
import {
  acceptRepository,
  inScopes,
  orderingRepository,
  PumpRepository,
  recordRepository,
  rehearseAccepting,
  rehearseDelivering,
  type Database,
  type Tx,
} from '@app/persistence';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { outcomeOf } from './boundary-fixture.js';
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase, registerSubscriber, type Fixture } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';

let database: Database;
let url: string;
let drop: () => Promise<void>;
let road: Pipeline;
let fixture: Fixture;

beforeAll(async () => {
  const created = await createTestDatabase();
  ({ drop, url } = created);
  database = await openDatabase(created.url);
  road = await startPipeline(database, created.url);
  fixture = await registerSubscriber(database, ['http://127.0.0.1:8009/']);
  await database.query(
    `INSERT INTO subscribers (id, external_id, name) SELECT gen_random_uuid(), 'other-' || n, 'x' FROM generate_series(1, 20000) n`,
  );
  // A connection plans a hot statement early and once: while the queue was empty. Kept for ticketsRead below.
  await database.hotTransaction(async (tx) => {
    await tx.query('SET LOCAL plan_cache_mode = force_generic_plan');
    await acceptRepository.insert(tx, [], [], null);
    await Promise.all(rehearseDelivering(tx));
  });
  await road.queue.claim(64, []);
  for (let batch = 0; batch < 5; batch++)
    await road.accept.accept({
      scope: STAFF,
      events: Array.from({ length: 1000 }, () => anEvent(fixture.subscriberId)),
      idempotency: null,
    });
});
afterAll(async () => {
  await road.stop();
  await database.close();
  await drop();
});

interface Plan {
  'Node Type': string;
  'Actual Rows': number;
  'Rows Removed by Filter'?: number;
  'Actual Loops': number;
  'Relation Name'?: string;
  Plans?: Plan[];
}

const JOBS_READ = `SELECT sum(idx_tup_fetch + seq_tup_read)::int AS read FROM pg_stat_xact_all_tables
  WHERE relid IN (SELECT relid FROM pg_partition_tree('pgboss.job') WHERE isleaf)`;

const DELIVERIES_READ = JOBS_READ.replace('pgboss.job', 'deliveries');
const EVENTS_READ = JOBS_READ.replace('pgboss.job', 'events');

/** Tickets, or others, that this transaction has read. */
async function readSoFar(tx: Tx, sql = JOBS_READ): Promise<number> {
  const [{ read }] = await tx.query<{ read: number }>(sql);
  return read;
}

/** The most rows that any node of the plan touched. */
async function rowsTouched(send: (tx: Tx) => Promise<unknown>, on = database): Promise<number> {
  const nodes = await nodesOf(send, on);
  return nodes.reduce((most, node) => {
    const each = node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0);
    return Math.max(most, each * node['Actual Loops']);
  }, 0);
}

/** All nodes of the plans that are run. */
async function nodesOf(send: (tx: Tx) => Promise<unknown>, on = database): Promise<Plan[]> {
  const nodes: Plan[] = [];
  await on.hotTransaction(async (tx) => {
    const prepared = async (_: string, text: string, values: unknown[]) => {
      const [row] = await tx.query<{ 'QUERY PLAN': { Plan: Plan }[] }>(
        `EXPLAIN (ANALYZE, FORMAT JSON) ${text}`,
        values,
      );
      const look = (plan: Plan): void => {
        nodes.push(plan);
        plan.Plans?.forEach(look);
      };
      look(row['QUERY PLAN'][0].Plan);
      return [];
    };
    await send({ prepared, preparedCells: prepared } as unknown as Tx);
  });
  return nodes;
}

it('finds subscribers by either id without walking the table', async () => {
  const { subscriberId, externalId } = fixture;
  expect(
    await rowsTouched((tx) =>
      acceptRepository.resolveSubscribers(tx, [subscriberId], ['other-7', externalId]),
    ),
  ).toBeLessThan(20);
});

it('does so behind the policies of the api, too, for one subscriber and for all', async () => {
  const api = await openDatabase(url, 'api');
  const { subscriberId, externalId } = fixture;
  for (const scope of [STAFF, { kind: 'subscriber' as const, subscriberId }]) {
    const touched = (send: (tx: Tx) => Promise<unknown>) => inScopes([scope], () => rowsTouched(send, api));
    expect(
      await touched((tx) => acceptRepository.resolveSubscribers(tx, [subscriberId], ['other-7', externalId])),
    ).toBeLessThan(20);
    const newest = `SELECT id, status FROM deliveries WHERE subscriber_id = $1 ORDER BY id DESC LIMIT 50`;
    expect(await touched((tx) => tx.prepared('newest', newest, [subscriberId]))).toBeLessThanOrEqual(50);
  }
  await api.close();
});

it('does not look at the queue when no ticket is to be taken back, and once when some are', async () => {
  const [{ queued }] = await database.query<{ queued: number }>('SELECT queued FROM lanes');
  expect(queued).toBeGreaterThan(50);
  const { subscriberId, endpointIds } = fixture;
  const deliveries = (place: 'queued' | 'held') =>
    Array.from({ length: 64 }, () => ({
      ...{ id: newId(Date.now(), systemRandom), eventId: newId(Date.now(), systemRandom) },
      ...{ subscriberId, endpointId: endpointIds[0], eventType: 'invoice.paid', place },
      ...{ trigger: 'event' as const, critical: false, orderingKey: null },
    }));
  const ticketsRead = (place: 'queued' | 'held') =>
    database.hotTransaction(async (tx) => {
      // Not a plan for these very values, but the one that the connection has.
      await tx.query('SET LOCAL plan_cache_mode = force_generic_plan');
      const before = await readSoFar(tx);
      await acceptRepository.insert(tx, [], deliveries(place), null);
      return (await readSoFar(tx)) - before;
    });
  expect(await ticketsRead('held')).toBe(0);
  // The lane is full: all of them are held after all.
  expect(await ticketsRead('queued')).toBeLessThanOrEqual(queued);
});

it('claims and records by keys, on connections that planned while the queue was empty', async () => {
  await database.query(
    `INSERT INTO pgboss.job (id, name, data, group_id, priority, policy, retry_limit, expire_seconds, deletion_seconds, keep_until)
     SELECT gen_random_uuid(), 'deliver', '{}', gen_random_uuid(), 1, 'standard', 1000000000, 600, 3600, now() + interval '1 day'
       FROM generate_series(1, 5000)`,
  );
  // The one connection of claims.
  const { claims } = database;
  const readByClaims = async () => (await claims.query<{ read: number }>(JOBS_READ)).rows[0].read;
  await claims.query('BEGIN');
  const before = await readByClaims();
  expect(await road.queue.claim(64, [])).toHaveLength(64);
  expect((await readByClaims()) - before).toBeLessThan(500);
  await claims.query('ROLLBACK');

  const rows = await database.query('SELECT * FROM deliveries LIMIT 64');
  const outcomes = rows.map((row) =>
    outcomeOf(row, { retryCount: 0, endpointId: fixture.endpointIds[0] }, 'delivered'),
  );
  await database.hotTransaction(async (tx) => {
    await tx.query('SET LOCAL plan_cache_mode = force_generic_plan');
    const read = await readSoFar(tx);
    expect(await recordRepository.record(tx, outcomes)).toHaveLength(64);
    expect((await readSoFar(tx)) - read).toBeLessThan(500);
    await tx.query('ROLLBACK');
  });
});

it('loads and records the oldest and the newest without reading what is between, on a connection that planned while there was none', async () => {
  const rows = await database.query(
    '(SELECT * FROM deliveries ORDER BY id LIMIT 32) UNION ALL (SELECT * FROM deliveries ORDER BY id DESC LIMIT 32)',
  );
  const outcomes = rows.map((row) =>
    outcomeOf(row, { retryCount: 0, endpointId: fixture.endpointIds[0] }, 'delivered'),
  );
  await database.hotTransaction(async (tx) => {
    await tx.query('SET LOCAL plan_cache_mode = force_generic_plan');
    const read = async () => (await readSoFar(tx, DELIVERIES_READ)) + (await readSoFar(tx, EVENTS_READ));
    const before = await read();
    const loaded = await new PumpRepository(tx).loadDeliveries(outcomes.map((o) => o.deliveryId));
    expect(loaded).toHaveLength(64);
    const loading = await read();
    expect(loading - before).toBeLessThan(500);
    await recordRepository.lock(
      tx,
      loaded.map(({ id }) => id),
    );
    expect(await recordRepository.record(tx, outcomes)).toHaveLength(64);
    expect((await read()) - loading).toBeLessThan(500);
    await tx.query('ROLLBACK');
  });
});

it.each([1, 2])('opens no partition but those of the %i that it records', async (n) => {
  const rows = await database.query<{ id: string }>(`SELECT * FROM deliveries LIMIT $1`, [n]);
  const outcomes = rows.map((row) =>
    outcomeOf(row, { retryCount: 0, endpointId: fixture.endpointIds[0] }, 'delivered'),
  );
  const nodes = await nodesOf((tx) => recordRepository.record(tx, outcomes));
  const opened = nodes.map((node) => node['Relation Name']).filter((name) => name?.startsWith('deliveries_'));
  expect(opened.length).toBeGreaterThan(0);
  const days = rows.map(({ id }) => new Date(uuidTimeMs(id)).toISOString().slice(0, 10).replaceAll('-', ''));
  expect(new Set(opened)).toEqual(new Set(days.map((day) => `deliveries_${day}`)));
});

it('a rehearsal writes nothing', async () => {
  const all = () =>
    database.query(
      `SELECT (SELECT count(*) FROM events) AS events, (SELECT count(*) FROM deliveries) AS deliveries,
              (SELECT count(*) FROM attempts) AS attempts, (SELECT count(*) FROM pgboss.job) AS jobs, (SELECT sum(queued + held + accepted) FROM lanes) AS places`,
    );
  const before = await all();
  await database.hotTransaction((tx) => Promise.all([...rehearseAccepting(tx), ...rehearseDelivering(tx)]));
  expect(await all()).toEqual(before);
});

it('loads deliveries without walking their partition', async () => {
  const rows = await database.query<{ id: string }>('SELECT id FROM deliveries LIMIT 64');
  const ids = rows.map((row) => row.id);
  expect(
    await rowsTouched((tx) => new PumpRepository(tx as unknown as Database).loadDeliveries(ids)),
  ).toBeLessThan(200);
});

it('loads events of any day with them: a delivery may be much younger than its event', async () => {
  const rows = await database.query<{ id: string; event_id: string }>(
    'SELECT id, event_id FROM deliveries ORDER BY id LIMIT 3',
  );
  const monthOld = newId(Date.now() - 30 * 86_400_000, systemRandom);
  await database.query('UPDATE events SET id = $2 WHERE id = $1', [rows[1].event_id, monthOld]);
  await database.query('UPDATE deliveries SET event_id = $2 WHERE id = $1', [rows[1].id, monthOld]);
  await database.query('DELETE FROM events WHERE id = $1', [rows[2].event_id]);
  const loaded = await new PumpRepository(database).loadDeliveries(rows.map(({ id }) => id));
  const known = new Map(loaded.map(({ id, event }) => [id, event?.type]));
  expect(rows.map(({ id }) => known.get(id))).toEqual(['thing.happened', 'thing.happened', undefined]);
  expect(loaded).toHaveLength(3);
});

it('locks deliveries by their keys', async () => {
  const rows = await database.query<{ id: string }>('SELECT id FROM deliveries LIMIT 64');
  const ids = rows.map((row) => row.id);
  expect(await rowsTouched((tx) => recordRepository.lock(tx, ids))).toBe(64);
  expect(await rowsTouched((tx) => recordRepository.lockHeld(tx, ids))).toBeLessThanOrEqual(64);
});

it('picks held deliveries from both ends of a backlog, and reads no more than it picks', async () => {
  const [endpointId] = fixture.endpointIds;
  const [{ held }] = await database.query<{ held: number }>('SELECT held FROM lanes WHERE endpoint_id = $1', [
    endpointId,
  ]);
  expect(held).toBeGreaterThan(4000);
  expect(
    await rowsTouched((tx) => recordRepository.pickHeld(tx, [{ endpointId, promote: 100 }])),
  ).toBeLessThanOrEqual(150);
  for (const anyRoom of [true, false])
    expect(
      await rowsTouched((tx) => recordRepository.roomToPromote(tx, [endpointId], anyRoom)),
    ).toBeLessThanOrEqual(1);
  // Nothing has waited for a minute: the newest are no business of a promotion, but of a probe.
  const picked = (forProbe?: boolean) =>
    database.hotTransaction((tx) => recordRepository.pickHeld(tx, [{ endpointId, promote: 4 }], forProbe));
  expect(await picked()).toMatchObject({ oldest: { length: 4 }, newest: [] });
  const { oldest, newest } = await picked(true);
  expect([oldest.length, newest.length]).toEqual([4, 2]);
  expect(newest[1].dueAt.getTime()).toBeGreaterThanOrEqual(oldest[3].dueAt.getTime());
});

it('finds what is pending without reading what is over', async () => {
  const done = await registerSubscriber(database, ['http://127.0.0.1:8009/']);
  const [endpointId] = done.endpointIds;
  const events = Array.from({ length: 1000 }, () => anEvent(done.subscriberId));
  await road.accept.accept({ scope: STAFF, events, idempotency: null });
  await database.query(
    `UPDATE deliveries SET status = 'delivered', place = NULL, due_at = NULL, finished_at = now() WHERE endpoint_id = $1`,
    [endpointId],
  );
  const owner = await openDatabase(url, 'owner');
  await owner.query('VACUUM deliveries');
  await owner.close();
  const counted = async (sql: string): Promise<number> =>
    rowsTouched((tx) => tx.prepared('counted', sql, [endpointId]));
  // As the loops, the doctor and retention ask: by status alone, whether in order or not.
  expect(await counted(`SELECT place FROM deliveries WHERE status = 'pending' AND endpoint_id = $1`)).toBe(0);
  expect(await counted(`SELECT 1 FROM deliveries WHERE status = 'pending' AND endpoint_id > $1`)).toBe(0);
});

it('finds the first of an ordering key behind a thousand others', async () => {
  const ordered = await registerSubscriber(database, ['http://127.0.0.1:8009/']);
  const [endpointId] = ordered.endpointIds;
  await database.query('UPDATE endpoints SET ordered = true WHERE id = $1', [endpointId]);
  const events = Array.from({ length: 1000 }, (_, n) =>
    anEvent(ordered.subscriberId, { orderingKey: `k${n % 2}` }),
  );
  await road.accept.accept({ scope: STAFF, events, idempotency: null });
  const keys = [{ endpointId, subscriberId: ordered.subscriberId, key: 'k1' }];
  expect(await rowsTouched((tx) => orderingRepository.heads(tx, keys))).toBeLessThan(20);
  expect(await rowsTouched((tx) => orderingRepository.pickReady(tx, [endpointId], 10))).toBeLessThanOrEqual(
    2,
  );
});

it('refuses the events of a batch that fan out beyond one transaction, and takes the others', async () => {
  const { subscriberId } = await registerSubscriber(database, []);
  for (let n = 0; n < 500; n++) {
    const id = newId(Date.now(), systemRandom);
    await database.query(
      `WITH e AS (INSERT INTO endpoints (id, subscriber_id, url, event_types) VALUES ($1, $2, 'http://127.0.0.1:8009/', '{*}') RETURNING 1)
       SELECT * FROM e`,
      [id, subscriberId],
    );
    await database.query('INSERT INTO lanes (endpoint_id, subscriber_id) VALUES ($1, $2)', [
      id,
      subscriberId,
    ]);
  }
  const { results } = await road.accept.accept({
    scope: STAFF,
    events: Array.from({ length: 42 }, () => anEvent(subscriberId)),
    idempotency: null,
  });
  const refused = results.filter((result) => result instanceof Problem);
  expect(refused).toHaveLength(42 - BATCH_DELIVERIES_MAX / 500);
  expect(refused[0]).toMatchObject({ code: 'limit_reached', extra: { limit: BATCH_DELIVERIES_MAX } });
  expect(results[0]).toMatchObject({ deliveries: 500 });
});

it.each(['worker', 'api'] as const)(
  'the planner of the %s reads no CHECKs to tell days apart',
  async (role) => {
    const own = await openDatabase(url, role);
    const [setting] = await own.query('SHOW constraint_exclusion');
    await own.close();
    expect(setting).toEqual({ constraint_exclusion: 'off' });
  },
);
