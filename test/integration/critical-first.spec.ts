/**
 * Promise: a critical event does not stand behind its endpoint's backlog, and a flood of them does not undo the window.
 * Real: PostgreSQL, AcceptEvents, pg-boss's tables. No pump: what T1 wrote is looked at.
 */
import { STAFF } from '@app/contracts';
import type { Database } from '@app/persistence';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase, registerSubscriber, type Fixture } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';

let database: Database;
let drop: () => Promise<void>;
let road: Pipeline;
let customer: Fixture;

beforeAll(async () => {
  const created = await createTestDatabase();
  ({ drop } = created);
  database = await openDatabase(created.url);
  road = await startPipeline(database, created.url);
});
beforeEach(async () => {
  customer = await registerSubscriber(database, ['http://127.0.0.1:8009/']);
  await database.query('UPDATE lanes SET window_size = 2 WHERE endpoint_id = $1', [customer.endpointIds[0]]);
});
afterAll(async () => {
  await road.stop();
  await database.close();
  await drop();
});

async function publish(priority: 'critical' | 'normal', count: number): Promise<void> {
  const events = Array.from({ length: count }, () => anEvent(customer.subscriberId, { priority }));
  await road.accept.accept({ scope: STAFF, events, idempotency: null });
}

/** How many are in each place, and the lane's own count. */
async function places(): Promise<object> {
  const [row] = await database.query(
    `SELECT count(*) FILTER (WHERE d.critical AND d.place = 'queued')::int AS "criticalQueued",
            count(*) FILTER (WHERE d.critical AND d.place = 'held')::int AS "criticalHeld",
            count(*) FILTER (WHERE NOT d.critical AND d.place = 'queued')::int AS "normalQueued",
            count(*) FILTER (WHERE NOT d.critical AND d.place = 'held')::int AS "normalHeld",
            (SELECT count(*)::int FROM pgboss.job j WHERE j.group_id = $1::uuid::text AND j.priority = 2) AS "criticalTickets",
            min(l.queued) AS queued, min(l.held) AS held
       FROM deliveries d JOIN lanes l ON l.endpoint_id = d.endpoint_id WHERE d.endpoint_id = $1::uuid`,
    [customer.endpointIds[0]],
  );
  return row;
}

it('critical events get places beside a backlog, as many again as the window', async () => {
  await publish('normal', 5);
  expect(await places()).toMatchObject({ normalQueued: 2, normalHeld: 3, queued: 2, held: 3 });
  await publish('critical', 1);
  expect(await places()).toMatchObject({ criticalQueued: 1, criticalTickets: 1, queued: 3, held: 3 });
  await publish('critical', 3);
  expect(await places()).toMatchObject({
    criticalQueued: 2,
    criticalHeld: 2,
    criticalTickets: 2,
    queued: 4,
    held: 5,
  });
});

it.each([
  ['paused', 'UPDATE lanes SET paused_at = now() WHERE endpoint_id = $1'],
  [
    'open circuit',
    `UPDATE lanes SET circuit = 'open', open_until = now() + interval '1 minute' WHERE endpoint_id = $1`,
  ],
])('they wait like all others at an endpoint that is left alone: %s', async (_, sql) => {
  await database.query(sql, [customer.endpointIds[0]]);
  await publish('critical', 2);
  expect(await places()).toMatchObject({
    criticalQueued: 0,
    criticalHeld: 2,
    criticalTickets: 0,
    queued: 0,
    held: 2,
  });
});
