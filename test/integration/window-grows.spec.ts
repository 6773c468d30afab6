/**
 * Real: PostgreSQL, HTTP on loopback, accept, pump and record in this process; but no poll. A lane's window grows by one with each
 * success: what this makes room for starts as soon as the pump knows of it, beside requests that take long.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { STAFF } from '@app/contracts';
import type { Database } from '@app/persistence';
import { afterAll, beforeAll, it, vi } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase, registerSubscriber } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';

const POLL_MS = 500;

let database: Database;
let drop: () => Promise<void>;
let road: Pipeline;
let server: Server;
const underWay: ServerResponse[] = [];

beforeAll(async () => {
  const created = await createTestDatabase();
  drop = created.drop;
  database = await openDatabase(created.url);
  server = createServer((request, response) => void underWay.push((request.resume(), response)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  road = await startPipeline(database, created.url);
});
afterAll(async () => {
  vi.restoreAllMocks();
  server.closeAllConnections();
  await road.stop();
  server.close();
  await database.close();
  await drop();
});

it('starts what a window that has grown has room for', async () => {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const { subscriberId } = await registerSubscriber(database, [url]);
  await database.query('UPDATE lanes SET window_size = 2');
  const events = Array.from({ length: 20 }, () => anEvent(subscriberId));
  await road.accept.accept({ scope: STAFF, events, idempotency: null });
  const every = globalThis.setInterval;
  vi.spyOn(globalThis, 'setInterval').mockImplementation(((run: () => void, ms: number) =>
    every(ms === POLL_MS ? () => undefined : run, ms)) as typeof setInterval);
  await road.startPump();
  vi.restoreAllMocks();
  await vi.waitUntil(() => underWay.length === 2, { timeout: 5000 });
  // A window of four with nothing under way.
  for (const response of underWay.splice(0)) response.end();
  await vi.waitUntil(() => underWay.length === 4, { timeout: 5000 });
});
