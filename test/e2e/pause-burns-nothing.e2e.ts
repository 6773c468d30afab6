/**
 * Promise: a paused endpoint gets nothing and loses nothing: its deliveries are held, no attempt is burned, and after
 * resuming all arrive.
 *
 *   0 s    events flow; one of them fails (its retry waits), the endpoint is paused
 *   1–4 s  publishing goes on, the retry comes due: all held, no request
 *   then   resumed: everything is delivered, each with as many attempts as it had requests
 */
import { setInterval as every } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPosthorn, type Posthorn } from '../support/processes.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';
import {
  expectDoctorClean,
  expectEqualRepeats,
  openTables,
  publishMany,
  tell,
  webhookIdOf,
  type Tables,
} from './e2e-fixture.js';

const BEFORE = 100;
const WHILE_PAUSED = 2_500;
// Long after the pause, and no longer than that.
const RETRY = { type: 'fixed', delaySeconds: 3, jitter: 'none' };

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

it('pausing holds without burning attempts, resuming delivers everything in time', async () => {
  const { client } = posthorn;
  await client.createSubscriber({ name: 'c', externalId: 'c' });
  await client.createEventType('thing.happened');
  const { id } = await client.createEndpoint('c', {
    url: receiver.url('/fail-every/50'),
    retryPolicy: RETRY,
  });
  const endpoint = `/v1/subscribers/c/endpoints/${id}`;
  const ids: string[] = [];
  for await (const _ of every(5)) {
    ids.push((await client.publish({ subscriber: 'c', type: 'thing.happened', data: {} })).id);
    if (ids.length === BEFORE) break;
  }
  await receiver.waitFor((entries) => entries.some((entry) => entry.answer === '500'));
  await client.post(`${endpoint}/pause`);
  const pausedAt = Date.now();
  ids.push(...(await publishMany(client, 'c', WHILE_PAUSED)));

  // What was queued, and the retry when its turn has come, all turn into held ones.
  await tables.until(
    `SELECT count(*) FILTER (WHERE place <> 'held') = 0 AS ok FROM deliveries WHERE status = 'pending'`,
  );
  const quiet = await receiver.journal();
  expect(Math.max(...quiet.map((entry) => entry.epochMs)) - pausedAt).toBeLessThan(1_000);
  expect(await tables.row(`SELECT held, queued FROM lanes`)).toEqual({
    held: ids.length - distinctOk(quiet),
    queued: 0,
  });
  expect(await tables.row(`SELECT count(*)::int AS n FROM attempts`)).toEqual({ n: quiet.length });
  await expectDoctorClean(posthorn.databaseUrl);

  // Every fiftieth failed so far; from here on the endpoint is well.
  await client.request('PATCH', endpoint, { url: receiver.url('/ok') });
  await client.post(`${endpoint}/resume`);
  const resumedAt = Date.now();
  await tables.until(
    `SELECT count(*) FILTER (WHERE status = 'delivered') = ${ids.length} AS ok FROM deliveries`,
    [],
    20_000,
  );
  tell('resumed', { heldDelivered: ids.length - distinctOk(quiet), ms: Date.now() - resumedAt });
  const journal = await receiver.journal();
  expect(new Set(journal.filter((entry) => entry.answer === '200').map(webhookIdOf))).toEqual(new Set(ids));
  expect(journal).toHaveLength(ids.length + journal.filter((entry) => entry.answer === '500').length);
  expect(expectEqualRepeats(journal).length).toBeGreaterThan(0);
  expect(
    await tables.row(`SELECT sum(tries)::int AS tries, sum(attempts)::int AS attempts FROM deliveries`),
  ).toEqual({
    tries: journal.length,
    attempts: journal.length,
  });
  await expectDoctorClean(posthorn.databaseUrl);
}, 60_000);

function distinctOk(journal: readonly { answer: string }[]): number {
  return journal.filter((entry) => entry.answer === '200').length;
}
