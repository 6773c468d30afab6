/**
 * Promise: what an endpoint is changed to holds for what waits already: another rate limit, another rule for what failed.
 * Real: PostgreSQL, pg-boss, HTTP on loopback. In this process: AcceptEvents, Pump, RecordOutcomes; the statements that a PATCH sends.
 */
import { STAFF } from '@app/contracts';
import { promoteHeld } from '@app/delivery';
import { endpointsRepository, type Database } from '@app/persistence';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase, registerSubscriber, type Fixture } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';

let drop: () => Promise<void>;
let database: Database;
let road: Pipeline;
let receiver: Receiver;

beforeAll(async () => {
  const created = await createTestDatabase();
  ({ drop } = created);
  database = await openDatabase(created.url);
  receiver = await startReceiver();
  road = await startPipeline(database, created.url);
  await road.startPump();
});
afterAll(async () => {
  await road.stop();
  await receiver.stop();
  await database.close();
  await drop();
});

async function publish({ subscriberId }: Fixture, count: number): Promise<void> {
  const events = Array.from({ length: count }, () => anEvent(subscriberId));
  await road.accept.accept({ scope: STAFF, events, idempotency: null });
}

async function until(sql: string, values: unknown[]): Promise<void> {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline;) {
    const [row] = await database.query<{ ok: boolean }>(sql, values);
    if (row.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`never true: ${sql}`);
}

it('a looser rate limit lets go at once what the old one had given a moment far away', async () => {
  const customer = await registerSubscriber(database, [receiver.url('/ok/limited')]);
  const [endpointId] = customer.endpointIds;
  const limit = (value: object) =>
    database.query('UPDATE endpoints SET rate_limit = $2 WHERE id = $1', [endpointId, JSON.stringify(value)]);
  await limit({ algorithm: 'fixed_window', limit: 1, per: 86_400 });
  await publish(customer, 3);
  await until(
    `SELECT count(*) FILTER (WHERE due_because = 'rate_limit') > 0 AND count(*) FILTER (WHERE status = 'delivered') = 1 AS ok
       FROM deliveries WHERE endpoint_id = $1`,
    [endpointId],
  );
  await limit({ algorithm: 'fixed_window', limit: 100, per: 1 });
  await database.transaction((tx) =>
    endpointsRepository.limitWindow(tx, customer.subscriberId, endpointId, 200),
  );
  await until(`SELECT bool_and(status = 'delivered') AS ok FROM deliveries WHERE endpoint_id = $1`, [
    endpointId,
  ]);
  expect(await receiver.journal({ path: '/ok/limited' })).toHaveLength(3);
});

it('skipping what failed lets go what it blocks already', async () => {
  const customer = await registerSubscriber(database, [receiver.url('/400/ordered')]);
  const [endpointId] = customer.endpointIds;
  await database.query('UPDATE endpoints SET ordered = true WHERE id = $1', [endpointId]);
  await publish(customer, 2);
  await promoteHeld(database, road.queue, [endpointId]);
  await until(`SELECT count(*) > 0 AS ok FROM ordering_keys WHERE endpoint_id = $1 AND state = 'blocked'`, [
    endpointId,
  ]);
  expect(await receiver.journal({ path: '/400/ordered' })).toHaveLength(1);

  await database.query(`UPDATE endpoints SET ordered_failure = 'skip' WHERE id = $1`, [endpointId]);
  await database.transaction((tx) => endpointsRepository.releaseKeys(tx, customer.subscriberId, endpointId));
  await promoteHeld(database, road.queue, [endpointId]);
  await receiver.waitFor(2, { filter: { path: '/400/ordered' } });
  await until(`SELECT count(*) = 0 AS ok FROM ordering_keys WHERE endpoint_id = $1`, [endpointId]);
});
