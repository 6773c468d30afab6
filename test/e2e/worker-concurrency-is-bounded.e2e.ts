/**
 * Promise: a worker never has more requests under way than WORKER_CONCURRENCY, nor more to one endpoint than
 * WORKER_CONCURRENCY_PER_ENDPOINT, and it uses what it may: all but what it keeps free for whoever comes next.
 *
 *   six endpoints that answer after 100 ms, 40 events each, bounds 8 and 2: the receiver counts how many overlap
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPosthorn, type Posthorn } from '../support/processes.js';
import type { JournalEntry } from '../support/receiver/journal.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';
import { publishMany, tell } from './e2e-fixture.js';

const CONCURRENCY = 8;
const PER_ENDPOINT = 2;
const ENDPOINTS = 6;
const EVENTS = 40;
const ANSWER_MS = 100;
// Kept for other endpoints and other subscribers than the ones that are at work.
const KEPT_FREE = 2;

let posthorn: Posthorn;
let receiver: Receiver;

beforeAll(async () => {
  [posthorn, receiver] = await Promise.all([
    startPosthorn({
      env: { WORKER_CONCURRENCY: String(CONCURRENCY), WORKER_CONCURRENCY_PER_ENDPOINT: String(PER_ENDPOINT) },
    }),
    startReceiver(),
  ]);
});
afterAll(async () => {
  await posthorn.stop();
  await receiver.stop();
});

it('a worker keeps to its concurrency, in all and to each endpoint', async () => {
  const { client } = posthorn;
  await client.createSubscriber({ name: 'c', externalId: 'c' });
  await client.createEventType('thing.happened');
  for (let i = 0; i < ENDPOINTS; i++)
    await client.createEndpoint('c', { url: receiver.url(`/slow/${ANSWER_MS}/${i}`) });
  await publishMany(client, 'c', EVENTS);
  const journal = await receiver.waitFor(ENDPOINTS * EVENTS, { timeoutMs: 40_000 });

  const most = overlapMax(journal);
  const perEndpoint = [...Map.groupBy(journal, (entry) => entry.path).values()].map(overlapMax);
  const tookMs = journal.at(-1)!.monotonicMs - journal[0].monotonicMs;
  tell('concurrency', { most, perEndpoint: perEndpoint.join('/'), tookMs });
  expect(most).toBeLessThanOrEqual(CONCURRENCY);
  expect(most).toBeGreaterThanOrEqual(CONCURRENCY - KEPT_FREE);
  expect(Math.max(...perEndpoint)).toBe(PER_ENDPOINT);
}, 60_000);

/** Each request is under way at least from its head until its answer, which never comes earlier than asked for. */
function overlapMax(entries: readonly JournalEntry[]): number {
  const changes = entries.flatMap(({ monotonicMs }) => [
    { atMs: monotonicMs, by: 1 },
    { atMs: monotonicMs + ANSWER_MS - 1, by: -1 },
  ]);
  changes.sort((a, b) => a.atMs - b.atMs || a.by - b.by);
  let now = 0;
  let most = 0;
  for (const { by } of changes) most = Math.max(most, (now += by));
  return most;
}
