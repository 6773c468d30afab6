/**
 * Promise: a retry is sent within about a second of its due time, though nobody announces it.
 *
 *   0 s        20 deliveries, each failed once by the receiver, four of each endpoint (five would open its circuit); their retries are due 1.5 to 4.5 s later; nothing else happens,
 *              so no NOTIFY wakes the pump: it finds them by polling
 *   due + 1 s  each has arrived, and none before it was due
 */
import { fromPublicId } from '@app/domain';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPosthorn, type Posthorn } from '../support/processes.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';
import { deliveryOf, openTables, publishMany, quantile, tell, type Tables } from './e2e-fixture.js';

const ENDPOINTS = 5;
const EVENTS = 4;
const RETRY = { type: 'fixed', delaySeconds: 3, jitter: 'proportional' };
const DELIVERIES = ENDPOINTS * EVENTS;

let posthorn: Posthorn;
let receiver: Receiver;
let tables: Tables;

beforeAll(async () => {
  [posthorn, receiver] = await Promise.all([startPosthorn(), startReceiver()]);
  tables = openTables(posthorn.databaseUrl);
});
afterAll(async () => {
  await tables.close();
  await posthorn.stop();
  await receiver.stop();
});

it('a retry is sent within a second of its due time, by polling alone', async () => {
  const { client } = posthorn;
  await client.createSubscriber({ name: 'c', externalId: 'c' });
  await client.createEventType('thing.happened');
  for (let i = 0; i < ENDPOINTS; i++)
    await client.createEndpoint('c', {
      url: receiver.url(`/fail-first/1/${i}`),
      retryPolicy: RETRY,
    });
  await publishMany(client, 'c', EVENTS);
  await tables.until(
    `SELECT count(*) FILTER (WHERE place = 'waiting') = ${DELIVERIES} AS ok FROM deliveries`,
  );
  const due = await tables.rows<{ id: string; due_at: Date }>(`SELECT id, due_at FROM deliveries`);
  const dueMs = new Map(due.map((row) => [row.id, row.due_at.getTime()]));

  const journal = await receiver.waitFor(2 * DELIVERIES);
  const lateMs = journal
    .slice(DELIVERIES)
    .map((entry) => entry.epochMs - dueMs.get(fromPublicId('dlv', deliveryOf(entry))!)!);
  tell('retries after their due time', { p50Ms: quantile(lateMs, 0.5), maxMs: Math.max(...lateMs) });
  expect(lateMs).toHaveLength(DELIVERIES);
  // One millisecond for the rounding of two clocks' readings.
  expect(Math.min(...lateMs)).toBeGreaterThanOrEqual(-1);
  expect(Math.max(...lateMs)).toBeLessThan(1_000);
}, 60_000);
