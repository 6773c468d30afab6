// Real: worker, PostgreSQL, HTTP on loopback. A host hangs, and a worker may have more at it than a sender opens to one origin by
// itself. Each delivery that has a slot has a connection: one that waits in line for it is dialled when the one before it passes
// its deadline, which is its own too, and would be recorded as a receiver that could not be reached.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLogger, Metrics } from '@app/observability';
import type { Database } from '@app/persistence';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createApi, type Api } from '../../apps/api/src/create-api.js';
import { Worker } from '../../apps/worker/src/worker.js';
import { createClient } from '../support/client.js';
import { createTestDatabase } from '../support/database.js';
import { openDatabase } from '../support/fixtures.js';
import { ADMIN_KEY, configFor } from './api-fixture.js';

const SLOTS = 600;
// The sender's own.
const CONNECTIONS_OTHERWISE = 256;
const SUBSCRIBERS = 5;
const ENDPOINTS_EACH = 4;
const EVENTS_EACH = 20;

let test: Awaited<ReturnType<typeof createTestDatabase>>;
let database: Database;
let api: Api;
let worker: Worker;
let receiver: Server;
let hanging = 0;

beforeAll(async () => {
  test = await createTestDatabase();
  receiver = createServer((request) => void (request.resume(), hanging++));
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  database = await openDatabase(test.url);
  const slots = { WORKER_CONCURRENCY: String(SLOTS), WORKER_CONCURRENCY_PER_HOST: String(SLOTS) };
  const config = configFor(test.url, slots);
  api = await createApi(config);
  const logger = createLogger({ level: 'silent', process: 'worker' });
  worker = new Worker({ ...config, DATABASE_URL: test.url }, 'test', database, new Metrics(), logger);
});
afterAll(async () => {
  // What hangs ends, so that nothing is waited for.
  receiver.closeAllConnections();
  receiver.close();
  await worker.stop();
  await api.close();
  await database.close();
  await test.drop();
});

it('a host may hang with more requests than a sender opens connections by itself', async () => {
  const client = createClient({ url: api.url, key: ADMIN_KEY });
  const { port } = receiver.address() as AddressInfo;
  await client.createEventType('thing.happened');
  for (let n = 0; n < SUBSCRIBERS; n++) {
    const { id } = await client.createSubscriber({ name: `s${n}`, externalId: `s${n}` });
    for (let at = 0; at < ENDPOINTS_EACH; at++)
      await client.createEndpoint(id, { url: `http://127.0.0.1:${port}/${n}/${at}`, eventTypes: ['*'] });
    for (let event = 0; event < EVENTS_EACH; event++)
      await client.publish({ subscriber: `s${n}`, type: 'thing.happened', data: {} });
  }
  await worker.start();
  await vi.waitUntil(() => hanging > CONNECTIONS_OTHERWISE, { timeout: 12_000 });
  expect(hanging).toBeGreaterThan(CONNECTIONS_OTHERWISE);
});
