/**
 * Promise: what the pump loads is what the tables say, column by column: it reads them by their place in the SELECT.
 * Real: PostgreSQL, accept, PumpRepository. What it should be is read by name, by pg.
 */
import { STAFF } from '@app/contracts';
import { PumpRepository, type Database, type DeliveryForAttempt } from '@app/persistence';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase, registerSubscriber } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';

let database: Database;
let drop: () => Promise<void>;
let road: Pipeline;

beforeAll(async () => {
  const created = await createTestDatabase();
  ({ drop } = created);
  database = await openDatabase(created.url);
  road = await startPipeline(database, created.url);
});
afterAll(async () => {
  await road.stop();
  await database.close();
  await drop();
});

it('every column, whatever is NULL', async () => {
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
