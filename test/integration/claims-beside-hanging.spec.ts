/**
 * Real: PostgreSQL, HTTP on loopback, accept, pump and record in this process. An endpoint hangs and has more in the queue than it may
 * start. Each delivery beside it costs the claims that announced it, not one more for each of its steps: every claim steps over
 * all that hangs, and the next delivery would wait for it.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { STAFF } from '@app/contracts';
import type { Database } from '@app/persistence';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase, registerSubscriber } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';

const SLOTS_OF_ONE = 8;
const IN_FRONT = 60;
const BESIDE = 30;
// Of first attempts and of retries.
const CLAIMS_A_LOOK = 2;
const POLL_MS = 500;

let database: Database;
let drop: () => Promise<void>;
let road: Pipeline;
let server: Server;
let base: string;
let hanging = 0;

beforeAll(async () => {
  const created = await createTestDatabase();
  drop = created.drop;
  database = await openDatabase(created.url);
  server = createServer((request, response) => {
    request.resume();
    if (request.url === '/hangs') hanging++;
    else response.end();
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

it('claims for a delivery when it is announced, and not again when it ends', async () => {
  const hangs = await registerSubscriber(database, [`${base}/hangs`]);
  const answers = await registerSubscriber(database, [`${base}/answers`]);
  const publish = (subscriberId: string, n: number) =>
    road.accept.accept({
      scope: STAFF,
      events: Array.from({ length: n }, () => anEvent(subscriberId)),
      idempotency: null,
    });
  await publish(hangs.subscriberId, IN_FRONT);
  await road.startPump({ concurrency: 64, concurrencyPerEndpoint: SLOTS_OF_ONE });
  await vi.waitUntil(() => hanging === SLOTS_OF_ONE);

  const claim = vi.spyOn(road.queue, 'claim');
  const startedMs = performance.now();
  for (let n = 1; n <= BESIDE; n++) {
    await publish(answers.subscriberId, 1);
    await delivered(answers.subscriberId, n);
  }
  // One look more when the listener that has just connected asks what it may have missed.
  const others = 1 + Math.ceil((performance.now() - startedMs) / POLL_MS);
  expect(claim.mock.calls.length).toBeLessThanOrEqual(CLAIMS_A_LOOK * (BESIDE + others));
  expect(hanging).toBe(SLOTS_OF_ONE);
});

async function delivered(subscriberId: string, wanted: number): Promise<void> {
  await vi.waitUntil(
    async () => {
      const [{ n }] = await database.query<{ n: number }>(
        "SELECT count(*)::int AS n FROM deliveries WHERE subscriber_id = $1 AND status = 'delivered'",
        [subscriberId],
      );
      return n === wanted;
    },
    { interval: 5, timeout: 10_000 },
  );
}
