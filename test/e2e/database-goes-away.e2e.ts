/**
 * Promise: while the database is away publishers are told so (503, Retry-After) and nothing else breaks; afterwards
 * everything answered 202 is delivered, and our fault burned nobody's attempts.
 *
 *   0 s     a durable PostgreSQL of this test's own; publishing with keys; one endpoint answers after 1 s, one at once
 *   2 s     it stops as in a crash (immediate), attempts under way, outcomes in the workers' memory
 *   16 s    longer than the workers' heartbeat: it starts again. Everything 202'd is delivered; LISTEN works again
 */
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fromPublicId } from '@app/domain';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  destroyEmbeddedPostgres,
  startEmbeddedPostgres,
  type EmbeddedPostgres,
} from '@app/embedded-postgres';
import { startPosthorn, type Posthorn } from '../support/processes.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';
import {
  expectDoctorClean,
  expectEqualRepeats,
  openTables,
  quantile,
  tell,
  webhookIdOf,
  type Tables,
} from './e2e-fixture.js';

const PUBLISHERS = 8;
const AWAY_MS = 14_000;

let dataDir: string;
let server: EmbeddedPostgres;
let posthorn: Posthorn;
let receiver: Receiver;
let tables: Tables;

const start = () => startEmbeddedPostgres({ dataDir, durable: true, log: () => undefined });

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), `posthorn-test-${process.pid}-`));
  // As root the server runs as another user, who must be able to enter.
  await chmod(dataDir, 0o711);
  server = await start();
  [posthorn, receiver] = await Promise.all([
    startPosthorn({ databaseUrl: server.url(), adminUrl: server.adminUrl('posthorn'), workers: 2 }),
    startReceiver(),
  ]);
  tables = openTables(server.url());
});
afterAll(async () => {
  await tables?.close();
  await posthorn?.stop();
  await receiver?.stop();
  await destroyEmbeddedPostgres(dataDir);
});

it('while it is away publishers are told so; afterwards everything is delivered and nothing was burned', async () => {
  const { client } = posthorn;
  await client.createSubscriber({ name: 'c', externalId: 'c' });
  await client.createEventType('thing.happened');
  for (const path of ['/ok', '/slow/1000']) await client.createEndpoint('c', { url: receiver.url(path) });

  const ended: string[] = [];
  for (const each of [posthorn.api, ...posthorn.workers])
    void each.exited.then(async () => ended.push(await each.logs()));
  const answered = new Map<string, string>();
  const refusals: { status: number; retryAfter: string | null; ms: number }[] = [];
  let done = false;
  async function publishOne(key: string): Promise<void> {
    for (;;) {
      const askedAt = performance.now();
      const body = { subscriber: 'c', type: 'thing.happened', data: { key } };
      const answer = await client.request<{ id: string }>('POST', '/v1/events', body, {
        'idempotency-key': key,
      });
      if (answer.status === 202) return void answered.set(key, answer.body.id);
      const ms = performance.now() - askedAt;
      refusals.push({ status: answer.status, retryAfter: answer.headers.get('retry-after'), ms });
      await delay(250);
    }
  }
  const publishers = Array.from({ length: PUBLISHERS }, async (_, publisher) => {
    // As many as the slow endpoint's slots of two workers can take.
    for (let n = 0; !done; n++) await Promise.all([publishOne(`order-${publisher}-${n}`), delay(200)]);
  });

  await receiver.waitFor(60);
  await server.stop('immediate');
  const stoppedAt = Date.now();
  // Not a wait for something: this is how long it is away.
  await delay(AWAY_MS);
  const sentWhileAway = (await receiver.journal()).filter(
    (entry) => entry.epochMs > stoppedAt + 5_000,
  ).length;
  server = await start();
  const startedAt = Date.now();
  const before = answered.size;
  while (answered.size < before + 3 * PUBLISHERS) await delay(25);
  const acceptingMs = Date.now() - startedAt;
  done = true;
  await Promise.all(publishers);

  expect(refusals.length).toBeGreaterThan(PUBLISHERS);
  for (const refusal of refusals)
    expect(refusal).toMatchObject({ status: 503, retryAfter: expect.stringMatching(/^\d+$/) });

  await tables.until(
    `SELECT count(*) FILTER (WHERE status = 'delivered') = ${2 * answered.size} AND count(*) = ${2 * answered.size} AS ok FROM deliveries`,
    [],
    30_000,
  );
  const deliveredMs = Date.now() - startedAt;
  expect(ended, 'a process did not survive').toEqual([]);
  const journal = await receiver.journal();
  const repeats = expectEqualRepeats(journal);
  tell('after an outage', {
    refusals: refusals.length,
    slowestRefusalMs: Math.max(...refusals.map((refusal) => refusal.ms)),
    acceptingMs,
    deliveredMs,
    sentWhileAway,
    repeats: repeats.length,
  });
  expect(new Set(journal.map(webhookIdOf))).toEqual(new Set(answered.values()));
  const stored = await tables.rows<{ id: string; key: string }>(
    `SELECT id, data::json ->> 'key' AS key FROM events`,
  );
  expect(new Map(stored.map(({ id, key }) => [key, id]))).toEqual(
    new Map([...answered].map(([key, id]) => [key, fromPublicId('evt', id)])),
  );
  expect(stored).toHaveLength(answered.size);
  // Outcomes outlived the outage in the workers' memory, and were written before their claims were found dead.
  expect(repeats).toEqual([]);
  // One try each, and none of them failed: the outage was ours.
  expect(await tables.rows(`SELECT DISTINCT tries FROM deliveries`)).toEqual([{ tries: 1 }]);
  expect(await tables.rows(`SELECT failure FROM attempts WHERE status = 'failed'`)).toEqual([]);
  expect(sentWhileAway).toBe(0);
  await expectDoctorClean(posthorn.databaseUrl);

  // Announced work is found at once again, not by the next poll (500 ms).
  const latencies: number[] = [];
  for (let n = 0; n < 11; n++) {
    const askedAt = Date.now();
    const { id } = await client.publish({ subscriber: 'c', type: 'thing.happened', data: {} });
    const [entry] = await receiver.waitFor(1, { filter: { path: '/ok', webhookId: id } });
    latencies.push(entry.epochMs - askedAt);
  }
  tell('announced again', { p50Ms: quantile(latencies, 0.5), maxMs: Math.max(...latencies) });
  expect(quantile(latencies, 0.5)).toBeLessThan(100);
}, 60_000);
