/**
 * Promise: what the pump loads is what the tables say now, column by column: it reads them by their place in the SELECT, and
 * what it has opened of an endpoint is used again only while nothing of it has changed.
 * Real: PostgreSQL, accept, PumpRepository. What it should be is read by name, by pg.
 */
import { STAFF } from '@app/contracts';
import { PumpRepository, type Database, type DeliveryForAttempt } from '@app/persistence';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase, registerSubscriber } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';

let database: Database;
let url: string;
let drop: () => Promise<void>;
let road: Pipeline;

beforeAll(async () => {
  const created = await createTestDatabase();
  ({ drop, url } = created);
  database = await openDatabase(created.url);
  road = await startPipeline(database, created.url);
});
afterAll(async () => {
  await road.stop();
  await database.close();
  await drop();
});

it('every column of a delivery, whatever is NULL', async () => {
  const { subscriberId } = await registerSubscriber(database, ['http://127.0.0.1:1/']);
  const plain = anEvent(subscriberId);
  const full = anEvent(subscriberId, {
    data: '{"text":"é🦊, \\"quoted\\"","nothing":null}',
    occurredAt: new Date('2026-01-02T03:04:05.678Z'),
    priority: 'critical',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  });
  await road.accept.accept({ scope: STAFF, events: [plain, full], idempotency: null });
  await database.query(
    `UPDATE deliveries SET tries = 2, faults = 3, attempts = 5, ticket = 7, trigger = 'resend' WHERE critical`,
  );
  await compare();

  // Over; its event's type has a policy now.
  await database.query(
    `UPDATE event_types SET retry_policy = '{"type":"fixed","delaySeconds":60}' WHERE name = 'thing.happened'`,
  );
  await database.query(
    `UPDATE deliveries SET status = 'delivered', place = NULL, due_at = NULL, finished_at = now() WHERE critical`,
  );
  await compare();

  await database.query('DELETE FROM events');
  expect((await compare()).map(({ event }) => event)).toEqual([null, null]);
});

// Each connection that is woken is a process of the server that is woken: for a single delivery that is much of what it costs.
it.each([
  [1, 1],
  [8, 1],
  [9, 2],
])('%i deliveries with their endpoint on %i connections', async (n, connections) => {
  const { subscriberId, endpointIds } = await registerSubscriber(database, ['http://127.0.0.1:1/']);
  const events = Array.from({ length: n }, () => anEvent(subscriberId));
  await road.accept.accept({ scope: STAFF, events, idempotency: null });
  const rows = await database.query<{ id: string }>('SELECT id FROM deliveries WHERE subscriber_id = $1', [
    subscriberId,
  ]);
  const fresh = await openDatabase(url);
  // Sees when others began, which the worker's role does not.
  const owner = await openDatabase(url, 'owner');
  const [{ since }] = await owner.query<{ since: string }>('SELECT clock_timestamp()::text AS since');
  const [deliveries, endpoints] = await new PumpRepository(fresh).load(
    rows.map(({ id }) => id),
    endpointIds,
  );
  const opened = await sessions(owner, since);
  await Promise.all([fresh.close(), owner.close()]);
  expect(deliveries.map(({ id }) => id).sort()).toEqual(rows.map(({ id }) => id).sort());
  expect([...endpoints.keys()]).toEqual(endpointIds);
  expect(opened).toBe(connections);
});

/** That were opened since then. */
async function sessions(owner: Database, since: string): Promise<number> {
  const [{ n }] = await owner.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
        AND backend_start > $1::timestamptz`,
    [since],
  );
  return n;
}

it('every column of an endpoint', async () => {
  const { endpointIds, secret, subscriberId } = await registerSubscriber(database, ['http://127.0.0.1:1/e']);
  const [id] = endpointIds;
  await database.query(
    `UPDATE endpoints SET headers = '{"x-a":"b"}', timeout_ms = 4321, retry_policy = '{"type":"fixed","delaySeconds":9}', retry_budget_percent = 44,
            rate_limit = '{"algorithm":"sliding_window","limit":5,"per":1}', ordered_failure = 'block', verification = 'challenge',
            signatures = '{v1,v1a}', signature_headers = '[{"name":"x-sign","format":"github","own":false}]' WHERE id = $1`,
    [id],
  );
  await database.query(
    `UPDATE lanes SET paused_at = now(), rate_factor = 0.5, rate_reduced_at = '2026-01-02 03:04:05.678Z', window_size = 77, circuit = 'unverified'
      WHERE endpoint_id = $1`,
    [id],
  );
  const loaded = await new PumpRepository(database).loadEndpoints([id]);
  expect(loaded.get(id)).toEqual({
    id,
    url: 'http://127.0.0.1:1/e',
    headers: { 'x-a': 'b' },
    timeoutMs: 4321,
    stopped: null,
    paused: true,
    subscriberId,
    retryPolicy: { type: 'fixed', delaySeconds: 9 },
    retryBudgetPercent: 44,
    rateLimit: { algorithm: 'sliding_window', limit: 5, per: 1 },
    rateFactor: 0.5,
    rateReducedAt: new Date('2026-01-02T03:04:05.678Z'),
    orderedFailure: 'block',
    verification: 'challenge',
    tellsFailures: false,
    window: 77,
    circuit: 'unverified',
    probeId: null,
    credentials: {
      signatures: ['v1', 'v1a'],
      signatureHeaders: [{ name: 'x-sign', format: 'github', secret: null }],
      auth: null,
      tls: null,
    },
    privateKeys: [],
    secrets: [secret],
    unreadable: false,
  });
});

it.each([
  `UPDATE endpoints SET url = 'http://127.0.0.1:1/other' WHERE id = $1`,
  `UPDATE endpoints SET headers = '{"x-a":"b"}' WHERE id = $1`,
  'UPDATE endpoints SET timeout_ms = 4321 WHERE id = $1',
  'UPDATE endpoints SET disabled_at = now() WHERE id = $1',
  `UPDATE endpoints SET signatures = '{v1,v1a}' WHERE id = $1`,
  `UPDATE endpoints SET rate_limit = '{"algorithm":"sliding_window","limit":5,"per":1}' WHERE id = $1`,
  'UPDATE endpoint_secrets SET expires_at = now() WHERE endpoint_id = $1',
  'UPDATE lanes SET paused_at = now() WHERE endpoint_id = $1',
  'UPDATE lanes SET rate_factor = 0.5, rate_reduced_at = now() WHERE endpoint_id = $1',
  'UPDATE lanes SET window_size = 77 WHERE endpoint_id = $1',
  `UPDATE lanes SET circuit = 'half_open', probe_id = endpoint_id WHERE endpoint_id = $1`,
  'UPDATE subscribers SET deleted_at = now() WHERE id = (SELECT subscriber_id FROM endpoints WHERE id = $1)',
])('is felt by the next load: %s', async (change) => {
  const { endpointIds } = await registerSubscriber(database, ['http://127.0.0.1:1/']);
  const rows = new PumpRepository(database);
  const before = await rows.loadEndpoints(endpointIds);
  expect(await rows.loadEndpoints(endpointIds)).toEqual(before);
  await database.query(change, [endpointIds[0]]);
  const after = await rows.loadEndpoints(endpointIds);
  expect(after).not.toEqual(before);
  expect(after).toEqual(await new PumpRepository(database).loadEndpoints(endpointIds));
});

async function compare(): Promise<DeliveryForAttempt[]> {
  const rows = await database.query<Record<string, unknown>>(
    `SELECT d.*, t.retry_policy, e.type, e.version, e.data, e.occurred_at, e.traceparent, e.id IS NULL AS gone
       FROM deliveries d LEFT JOIN events e ON e.id = d.event_id LEFT JOIN event_types t ON t.name = d.event_type ORDER BY d.id`,
  );
  const loaded = await new PumpRepository(database).loadDeliveries(rows.map(({ id }) => id as string));
  loaded.sort((a, b) => (a.id < b.id ? -1 : 1));
  expect(loaded).toEqual(
    rows.map((row) => ({
      id: row['id'],
      subscriberId: row['subscriber_id'],
      eventId: row['event_id'],
      endpointId: row['endpoint_id'],
      status: row['status'],
      trigger: row['trigger'],
      ticket: row['ticket'],
      tries: row['tries'],
      faults: row['faults'],
      attempts: row['attempts'],
      dueAt: row['due_at'],
      critical: row['critical'],
      orderingKey: row['ordering_key'],
      ageSeconds: expect.closeTo((Date.now() - (row['run_at'] as Date).getTime()) / 1000, -1) as number,
      retryPolicy: row['retry_policy'],
      event: row['gone']
        ? null
        : {
            type: row['type'],
            version: row['version'],
            data: row['data'],
            occurredAt: row['occurred_at'],
            traceparent: row['traceparent'],
          },
      dataKey: null,
      destroyed: false,
      unreadable: false,
    })),
  );
  return loaded;
}

it('keeps nothing opened of one that is stopped, however often it is asked for', async () => {
  const { endpointIds, subscriberId } = await registerSubscriber(database, ['http://127.0.0.1:1/e']);
  const pump = new PumpRepository(database);
  const { opened } = pump as unknown as { opened: { get(id: string): unknown } };
  await pump.loadEndpoints(endpointIds);
  expect(opened.get(endpointIds[0])).toBeDefined();
  await database.query('UPDATE subscribers SET deleted_at = now() WHERE id = $1', [subscriberId]);
  expect((await pump.loadEndpoints(endpointIds)).get(endpointIds[0])).toMatchObject({ secrets: [] });
  expect(opened.get(endpointIds[0])).toBeUndefined();
});
