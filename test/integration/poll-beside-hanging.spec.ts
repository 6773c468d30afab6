/**
 * Real: PostgreSQL, HTTP on loopback, accept, pump and record in this process. An endpoint hangs and has more in the queue than it may
 * start; others answer slowly, one request each few milliseconds, and nobody publishes. A retry that comes due meanwhile is found by the
 * next poll: what ends does not put it off.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { STAFF } from '@app/contracts';
import type { Database } from '@app/persistence';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase, registerSubscriber } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';

const SLOTS_OF_ONE = 4;
const SLOW = 40;
// One ends in each of these: all of them together take six polls.
const END_EVERY_MS = 75;

let database: Database;
let drop: () => Promise<void>;
let road: Pipeline;
let server: Server;
let base: string;
let hanging = 0;
const slow: ServerResponse[] = [];
let slowWhenRetried: number | null = null;

beforeAll(async () => {
  const created = await createTestDatabase();
  drop = created.drop;
  database = await openDatabase(created.url);
  server = createServer((request, response) => {
    request.resume();
    if (request.url === '/hangs') hanging++;
    else if (request.url === '/slow') slow.push(response);
    else {
      slowWhenRetried = slow.length;
      response.end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  road = await startPipeline(database, created.url);
});
afterAll(async () => {
  server.closeAllConnections();
  await road.stop();
  server.close();
  await database.close();
  await drop();
});

it('a due retry is found by the poll, whatever ends in between', async () => {
  const hangs = await registerSubscriber(database, [`${base}/hangs`]);
  const answers = await registerSubscriber(
    database,
    Array.from({ length: SLOW }, () => `${base}/slow`),
  );
  const later = await registerSubscriber(database, [`${base}/later`]);
  const publish = (subscriberId: string, n: number) =>
    road.accept.accept({
      scope: STAFF,
      events: Array.from({ length: n }, () => anEvent(subscriberId)),
      idempotency: null,
    });
  await publish(later.subscriberId, 1);
  // As a retry: nobody is told when it is due.
  await database.query(`UPDATE pgboss.job SET priority = 0, start_after = now() + interval '1 hour'`);
  await publish(hangs.subscriberId, 30);
  await publish(answers.subscriberId, 1);
  await road.startPump({ concurrency: 256, concurrencyPerEndpoint: SLOTS_OF_ONE });
  await vi.waitUntil(() => hanging === SLOTS_OF_ONE && slow.length === SLOW, { timeout: 10_000 });

  await database.query(`UPDATE pgboss.job SET start_after = now() WHERE priority = 0`);
  const ends = setInterval(() => slow.pop()?.end(), END_EVERY_MS);
  await vi.waitUntil(() => slowWhenRetried !== null, { timeout: 10_000 });
  clearInterval(ends);
  for (const response of slow) response.end();
  expect(slowWhenRetried).toBeGreaterThan(SLOW / 2);
});
