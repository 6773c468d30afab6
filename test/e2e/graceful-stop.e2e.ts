/**
 * Promise: SIGTERM ends a worker within 20 s. What finishes meanwhile is recorded once; the rest is given back and
 * delivered by another worker soon.
 *
 *   0 s      A: 32 slow attempts (2 s) and 32 hanging ones (30 s allowed) under way, 8 of each endpoint are parked or queued
 *   SIGTERM  A claims nothing more and gives back what is parked; B takes that at once
 *   +2 s     the slow ones are recorded
 *   +15 s    A ends the hanging ones and gives them back; exit 0. The endpoint was mended before B came: it delivers them
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPosthorn, type Posthorn } from '../support/processes.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';
import { expectDoctorClean, openTables, publishMany, tell, webhookIdOf, type Tables } from './e2e-fixture.js';

const PER_ENDPOINT = 32;
const EVENTS = 40;

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

it('SIGTERM: exit 0 within 20 s, finished attempts once, the rest by another worker soon', async () => {
  const { client } = posthorn;
  await client.createSubscriber({ name: 'c', externalId: 'c' });
  await client.createEventType('thing.happened');
  await client.createEndpoint('c', { url: receiver.url('/slow/2000') });
  const hanging = await client.createEndpoint('c', { url: receiver.url('/hang'), timeoutSeconds: 30 });
  await publishMany(client, 'c', EVENTS);
  await receiver.waitFor(2 * PER_ENDPOINT);

  const [first] = posthorn.workers;
  const stoppedAt = Date.now();
  const exit = first.stop('SIGTERM');
  const mended = await client.request('PATCH', `/v1/subscribers/c/endpoints/${hanging.id}`, {
    url: receiver.url('/ok'),
  });
  expect(mended.status).toBe(200);
  await posthorn.startWorker();

  // Those that were parked or queued do not wait for the first worker's end.
  const parked = await receiver.waitFor(EVENTS - PER_ENDPOINT, { filter: { path: '/ok' } });
  const parkedMs = Math.max(...parked.map((entry) => entry.epochMs)) - stoppedAt;
  expect(await exit).toEqual({ code: 0, signal: null });
  const exitMs = Date.now() - stoppedAt;
  expect(exitMs).toBeLessThan(20_000);
  await tables.until(
    `SELECT count(*) FILTER (WHERE status = 'delivered') = ${2 * EVENTS} AS ok FROM deliveries`,
  );
  const afterExitMs = Date.now() - stoppedAt - exitMs;
  tell('graceful stop', { parkedMs, exitMs, afterExitMs });
  expect(parkedMs).toBeLessThan(10_000);
  expect(afterExitMs).toBeLessThan(5_000);

  const slow = await receiver.journal({ path: '/slow/2000' });
  expect(slow).toHaveLength(EVENTS);
  expect(new Set(slow.map(webhookIdOf)).size).toBe(EVENTS);
  expect(await receiver.journal({ path: '/ok' })).toHaveLength(EVENTS);
  // Our own stop is nobody's failure: it burned no try.
  expect(await tables.rows(`SELECT DISTINCT tries FROM deliveries`)).toEqual([{ tries: 1 }]);
  expect(await tables.rows(`SELECT DISTINCT failure FROM attempts WHERE status = 'failed'`)).toEqual([
    { failure: 'internal' },
  ]);
  expect(await tables.rows(`SELECT 1 AS late FROM attempts WHERE late`)).toEqual([]);
  await expectDoctorClean(posthorn.databaseUrl);
}, 60_000);
