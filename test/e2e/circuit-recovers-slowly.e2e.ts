/**
 * Promise: an endpoint that was dead with a backlog comes back by slow start, and others notice nothing.
 *
 *   0 s    3,000 deliveries for an endpoint that answers 500: its circuit opens, the rest is held without an attempt
 *   then   it is well again (its URL is corrected): a probe, then two at once, four, eight …
 *   always another endpoint gets 25 events a second: p99 from the publisher's call to the request below 500 ms
 */
import { setInterval as every } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPosthorn, type Posthorn } from '../support/processes.js';
import type { JournalEntry } from '../support/receiver/journal.js';
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
const ANSWER_MS = 100;
const EVERY_MS = 40;
const P99_MAX_MS = 500;

let posthorn: Posthorn;
let receiver: Receiver;
let tables: Tables;

beforeAll(async () => {
  [posthorn, receiver] = await Promise.all([startPosthorn({ workers: 2 }), startReceiver()]);
  tables = openTables(posthorn.databaseUrl);
});
afterAll(async () => {
  await tables.close();
  await posthorn.stop();
  await receiver.stop();
});

it('a dead endpoint with a backlog recovers by slow start while another is served as ever', async () => {
  const { client } = posthorn;
  await client.createEventType('thing.happened');
  for (const name of ['dead', 'healthy']) await client.createSubscriber({ name, externalId: name });
  // No retry comes back while this lasts: what is seen at the receiver is what was held.
  const retryPolicy = { type: 'fixed', delaySeconds: 3600 };
  const { id } = await client.createEndpoint('dead', { url: receiver.url('/500/dead'), retryPolicy });
  await client.createEndpoint('healthy', { url: receiver.url('/ok') });
  await publishMany(client, 'dead', BACKLOG);
  await tables.until(
    `SELECT count(*) FILTER (WHERE place = 'queued') = 0 AND count(*) > 0 AS ok FROM deliveries`,
    [],
    20_000,
  );
  const burned = (await receiver.journal({ path: '/500/dead' })).length;
  // A window's worth at most had begun before the fifth failure was told.
  expect(burned).toBeLessThanOrEqual(128);
  const before = await tables.row<{ held: number; circuit: string }>(
    `SELECT held, circuit FROM lanes ORDER BY held DESC LIMIT 1`,
  );
  expect(before).toEqual({ held: BACKLOG - burned, circuit: 'open' });
  await expectDoctorClean(posthorn.databaseUrl);

  const publishing = publishEvery(EVERY_MS);
  const alive = `/slow/${ANSWER_MS}/alive`;
  await client.request('PATCH', `/v1/subscribers/dead/endpoints/${id}`, { url: receiver.url(alive) });
  const recovering = await receiver.waitFor(BACKLOG - burned, { filter: { path: alive }, timeoutMs: 40_000 });
  const publishedAt = await publishing.stop();

  const steps = overlaps(recovering);
  tell('slow start', {
    burned,
    underWay: steps.slice(0, 40).join(' '),
    most: Math.max(...steps),
    drainedMs: recovering.at(-1)!.monotonicMs - recovering[0].monotonicMs,
  });
  // The n-th request finds no more under way than have been answered before it, and one: the window doubles each round.
  for (const [n, underWay] of steps.slice(0, 30).entries())
    expect(underWay).toBeLessThanOrEqual(Math.max(2, n));
  expect(Math.max(...steps.slice(0, 3))).toBeLessThanOrEqual(2);
  expect(Math.max(...steps)).toBeGreaterThanOrEqual(16);

  const journal = await receiver.waitFor(publishedAt.size, { filter: { path: '/ok' } });
  const latencies = journal.map((entry) => entry.epochMs - publishedAt.get(webhookIdOf(entry))!);
  tell('beside it', {
    events: latencies.length,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
  });
  expect(quantile(latencies, 0.99)).toBeLessThan(P99_MAX_MS);
  const kinds = await tables.rows<{ kind: string }>('SELECT kind FROM lane_transitions ORDER BY at, id');
  expect(kinds.map(({ kind }) => kind)).toEqual(['circuit_opened', 'circuit_half_opened', 'circuit_closed']);
  await tables.until(
    `SELECT count(*) FILTER (WHERE place <> 'waiting') = 0 AS ok FROM deliveries WHERE status = 'pending'`,
  );
  await expectDoctorClean(posthorn.databaseUrl);
}, 90_000);

/** One event for the healthy endpoint after the other, until stopped; answers when each was asked for. */
function publishEvery(ms: number): { stop(): Promise<Map<string, number>> } {
  const publishedAt = new Map<string, number>();
  let stopped = false;
  const done = (async () => {
    const answers: Promise<void>[] = [];
    for await (const _ of every(ms)) {
      if (stopped) break;
      const askedAt = Date.now();
      const answer = posthorn.client.publish({ subscriber: 'healthy', type: 'thing.happened', data: {} });
      answers.push(answer.then(({ id }) => void publishedAt.set(id, askedAt)));
    }
    await Promise.all(answers);
  })();
  return {
    stop: async () => {
      stopped = true;
      await done;
      return publishedAt;
    },
  };
}

/** For each request in its order, how many were under way when it came, itself included. */
function overlaps(entries: readonly JournalEntry[]): number[] {
  const at = entries.map(({ monotonicMs }) => monotonicMs).sort((a, b) => a - b);
  return at.map((ms, n) => at.slice(0, n + 1).filter((other) => other > ms - ANSWER_MS + 1).length);
}
