/**
 * Real: PostgreSQL, HTTP on loopback, accept, pump and record in this process. More retries are due than have room among a worker's
 * slots. As they end the next ones start, and not only when the pump polls; and none is claimed that may not start.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { STAFF } from '@app/contracts';
import type { Database } from '@app/persistence';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase, registerSubscriber } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';

const SLOTS = 20;
const RETRIES = 120;
// By polls alone: 12 at a time, twice a second.
const BY_POLLS_MS = (RETRIES / 12) * 500;

let database: Database;
let drop: () => Promise<void>;
let road: Pipeline;
let server: Server;
let url: string;

beforeAll(async () => {
  const created = await createTestDatabase();
  ({ drop, url } = created);
  database = await openDatabase(created.url);
  server = createServer((request, response) => void request.resume().on('end', () => response.end()));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  road = await startPipeline(database, created.url);
});
afterAll(async () => {
  await road.stop();
  server.closeAllConnections();
  server.close();
  await database.close();
  await drop();
});

it('starts due retries as fast as they end', async () => {
  const subscriberId = await publishRetries();
  const startedMs = performance.now();
  await road.startPump({ concurrency: SLOTS, concurrencyPerEndpoint: SLOTS });
  await allDelivered(subscriberId);
  expect(performance.now() - startedMs).toBeLessThan(BY_POLLS_MS / 2);
});

it('claims none while the clock is in doubt, when it may start none', async () => {
  await road.stop();
  road = await startPipeline(database, url);
  const subscriberId = await publishRetries();
  let [asked, inDoubt] = [0, true];
  await road.startPump({ concurrency: SLOTS, clockIsInDoubt: () => inDoubt && ++asked > 0 });
  const claim = vi.spyOn(road.queue, 'claim');
  await vi.waitUntil(() => asked >= 5, { timeout: 10_000 });
  expect(claim).not.toHaveBeenCalled();
  inDoubt = false;
  await allDelivered(subscriberId);
});

/** Each of another endpoint, so that none is saturated. */
async function publishRetries(): Promise<string> {
  const hook = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const { subscriberId } = await registerSubscriber(
    database,
    Array.from({ length: RETRIES }, () => hook),
  );
  const events = [anEvent(subscriberId)];
  await road.accept.accept({ scope: STAFF, events, idempotency: null });
  // As those of retries are.
  await database.query('UPDATE pgboss.job SET priority = 0');
  return subscriberId;
}

async function allDelivered(subscriberId: string): Promise<void> {
  await vi.waitUntil(
    async () => {
      const [{ n }] = await database.query<{ n: number }>(
        "SELECT count(*)::int AS n FROM deliveries WHERE subscriber_id = $1 AND status = 'delivered'",
        [subscriberId],
      );
      return n === RETRIES;
    },
    { interval: 20, timeout: 20_000 },
  );
}
