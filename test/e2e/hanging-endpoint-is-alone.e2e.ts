/**
 * Promise: an endpoint that hangs, with 3,000 deliveries in front of everybody, delays nobody else.
 *
 *   0 s     3,000 deliveries for an endpoint that hangs (3 s each): 2,000 queued, the rest held; one worker
 *   5 s     another endpoint gets 25 events a second: p99 from the publisher's call to the request below 2 s
 *   always  the lanes count exactly what the table says
 */
import { setInterval as every } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPosthorn, type Posthorn } from '../support/processes.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';
import {
  expectDoctorClean,
  openTables,
  publishMany,
  quantile,
  tell,
  webhookIdOf,
  type Tables,
} from './e2e-fixture.js';

const BACKLOG = 3_000;
const WINDOW = 2_000;
const EVENTS = 125;
const EVERY_MS = 40;

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

it('events of others arrive in time while one endpoint hangs with a backlog beyond its window', async () => {
  const { client } = posthorn;
  await client.createEventType('thing.happened');
  for (const name of ['hung', 'healthy']) await client.createSubscriber({ name, externalId: name });
  await client.createEndpoint('hung', { url: receiver.url('/hang'), timeoutSeconds: 3 });
  await client.createEndpoint('healthy', { url: receiver.url('/ok') });
  await publishMany(client, 'hung', BACKLOG);
  const { queued, held } = await tables.row<{ queued: number; held: number }>(
    `SELECT sum(queued)::int AS queued, sum(held)::int AS held FROM lanes`,
  );
  expect(queued).toBeLessThanOrEqual(WINDOW);
  expect(held).toBeGreaterThanOrEqual(BACKLOG - WINDOW);
  await receiver.waitFor(32, { filter: { path: '/hang' } });

  const publishedAt = new Map<string, number>();
  const answers: Promise<void>[] = [];
  for await (const _ of every(EVERY_MS)) {
    const askedAt = Date.now();
    const answer = client.publish({ subscriber: 'healthy', type: 'thing.happened', data: {} });
    answers.push(answer.then(({ id }) => void publishedAt.set(id, askedAt)));
    if (answers.length === EVENTS) break;
    if (answers.length % 50 === 0) await expectDoctorClean(posthorn.databaseUrl);
  }
  await Promise.all(answers);
  const journal = await receiver.waitFor(EVENTS, { filter: { path: '/ok' } });
  const latencies = journal.map((entry) => entry.epochMs - publishedAt.get(webhookIdOf(entry))!);
  const hung = await receiver.journal({ path: '/hang' });
  tell('beside a hanging endpoint', {
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    maxMs: Math.max(...latencies),
    hung: hung.length,
  });
  expect(quantile(latencies, 0.99)).toBeLessThan(2_000);
  // It had its share all the while: each of its 32 slots again after every deadline.
  expect(hung.length).toBeGreaterThan(32);
  await expectDoctorClean(posthorn.databaseUrl);
}, 60_000);
