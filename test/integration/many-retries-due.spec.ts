/**
 * Real: PostgreSQL, HTTP on loopback, accept, pump and record in this process. More retries are due than have room among a worker's
 * slots. As they end the next ones start, and not only when the pump polls.
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

beforeAll(async () => {
  const created = await createTestDatabase();
  drop = created.drop;
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
  // Each of another endpoint, so that none is saturated.
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const { subscriberId } = await registerSubscriber(
    database,
    Array.from({ length: RETRIES }, () => url),
  );
  const events = [anEvent(subscriberId)];
  await road.accept.accept({ scope: STAFF, events, idempotency: null });
  // As those of retries are.
  await database.query('UPDATE pgboss.job SET priority = 0');

  const startedMs = performance.now();
  await road.startPump({ concurrency: SLOTS, concurrencyPerEndpoint: SLOTS });
  await vi.waitUntil(
    async () => {
      const [{ n }] = await database.query<{ n: number }>(
        "SELECT count(*)::int AS n FROM deliveries WHERE status = 'delivered'",
      );
      return n === RETRIES;
    },
    { interval: 20, timeout: 20_000 },
  );
  expect(performance.now() - startedMs).toBeLessThan(BY_POLLS_MS / 2);
});
