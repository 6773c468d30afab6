/**
 * Promise: a worker that is killed loses nothing; another delivers what it had under way within 30 s, with the same
 * webhook-id and bytes.
 *
 *   0 s      A starts 60 attempts (two endpoints that answer after 8 s); B starts and finds nothing to do
 *   then     kill -9 A, before any answer
 *   +12 s    the claims miss their heartbeat; within 4 s a supervisor gives them back; B claims and sends them
 *   < 30 s   all 60 are delivered
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPosthorn, type Posthorn } from '../support/processes.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';
import {
  expectDoctorClean,
  expectEqualRepeats,
  openTables,
  publishMany,
  tell,
  type Tables,
} from './e2e-fixture.js';

const EVENTS = 30;
const DELIVERIES = 2 * EVENTS;

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

it('another worker delivers everything that a killed one had under way within 30 s', async () => {
  const { client } = posthorn;
  await client.createSubscriber({ name: 'c', externalId: 'c' });
  await client.createEventType('thing.happened');
  for (const name of ['a', 'b'])
    await client.createEndpoint('c', { url: receiver.url(`/slow/8000/${name}`) });
  await publishMany(client, 'c', EVENTS);
  await receiver.waitFor(DELIVERIES);
  await posthorn.startWorker();
  expect(await tables.row(`SELECT count(*)::int AS n FROM attempts`)).toEqual({ n: 0 });

  await posthorn.workers[0].stop('SIGKILL');
  const killedAt = Date.now();
  const journal = await receiver.waitFor(2 * DELIVERIES, { timeoutMs: 30_000 });
  await tables.until(
    `SELECT count(*) FILTER (WHERE status = 'delivered') = ${DELIVERIES} AS ok FROM deliveries`,
  );
  const deliveredMs = Date.now() - killedAt;
  const again = journal.slice(DELIVERIES).map((entry) => entry.epochMs - killedAt);
  tell('takeover', { firstMs: Math.min(...again), lastMs: Math.max(...again), deliveredMs });
  expect(deliveredMs).toBeLessThan(30_000);

  expect(expectEqualRepeats(journal).map((entries) => entries.length)).toEqual(
    Array.from({ length: DELIVERIES }, () => 2),
  );
  // The killed worker's attempts were never recorded; the one that was burned one try.
  expect(await tables.rows(`SELECT DISTINCT status, attempts, tries FROM deliveries`)).toEqual([
    { status: 'delivered', attempts: 1, tries: 1 },
  ]);
  await expectDoctorClean(posthorn.databaseUrl);
}, 60_000);
