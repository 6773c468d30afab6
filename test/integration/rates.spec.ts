/**
 * Promise: an endpoint gets no more than its rate, however many workers there are, and what waits for its slot burns nothing.
 * Real: PostgreSQL, three pumps in this process, HTTP to a receiver in a process of its own, whose clock is the measure.
 */
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase, registerSubscriber } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';
import { runDoctor } from '@app/console';
import { STAFF } from '@app/contracts';
import { systemClock, type RateLimit } from '@app/domain';
import type { Database } from '@app/persistence';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

const WORKERS = 3;
// What lies between a slot and the head of its request at the receiver: a worker uses a slot 100 ms late at most, then come a
// row, an event loop and a socket. It moves a request by so much, so a span that is shorter by it holds no more than the limit.
const ON_THE_WAY_MS = 120;

let database: Database;
let drop: () => Promise<void>;
let workers: Pipeline[];
let receiver: Receiver;
let endpoints = 0;

beforeAll(async () => {
  const created = await createTestDatabase();
  ({ drop } = created);
  receiver = await startReceiver();
  database = await openDatabase(created.url);
  workers = [];
  for (let n = 0; n < WORKERS; n++) {
    workers.push(await startPipeline(database, created.url, { worker: `test:${n}` }));
    await workers[n].startPump();
  }
});
afterAll(async () => {
  await Promise.all(workers.map((worker) => worker.stop()));
  await database.close();
  await receiver.stop();
  await drop();
});
afterEach(async () => {
  const { checks } = await runDoctor(database, systemClock, { allowLossy: true });
  const broken = checks.filter((check) => !check.ok);
  if (broken.length > 0) throw new Error(`the doctor found ${JSON.stringify(broken)}`);
});

interface Limited {
  subscriberId: string;
  endpointId: string;
  path: string;
}

async function limited(rateLimit: RateLimit, behaviour = '/ok'): Promise<Limited> {
  const path = `${behaviour}/${++endpoints}`;
  const { subscriberId, endpointIds } = await registerSubscriber(database, [receiver.url(path)]);
  await database.query('UPDATE endpoints SET rate_limit = $2 WHERE id = $1', [
    endpointIds[0],
    JSON.stringify(rateLimit),
  ]);
  return { subscriberId, endpointId: endpointIds[0], path };
}

async function publish({ subscriberId }: Limited, count: number): Promise<void> {
  const events = Array.from({ length: count }, () => anEvent(subscriberId));
  await workers[0].accept.accept({ scope: STAFF, events, idempotency: null });
}

async function arrivals({ path }: Limited, count: number): Promise<number[]> {
  const journal = await receiver.waitFor(count, { filter: { path }, timeoutMs: 20_000 });
  return journal.map(({ monotonicMs }) => monotonicMs).sort((a, b) => a - b);
}

/** The most that came within any span of so many milliseconds. */
function mostWithin(atMs: number[], spanMs: number): number {
  let from = 0;
  let most = 0;
  for (const [to, at] of atMs.entries()) {
    while (at - atMs[from] >= spanMs) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

async function untilDelivered({ endpointId }: Limited, count: number): Promise<void> {
  for (let tries = 0; tries < 800; tries++) {
    const [row] = await database.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM deliveries WHERE endpoint_id = $1 AND status = 'delivered'`,
      [endpointId],
    );
    if (row.n === count) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`never delivered ${count}`);
}

// Side by side: each has an endpoint of its own, and three seconds that are mostly waiting.
describe.concurrent('three workers on one endpoint keep', () => {
  it('a leaky bucket, evenly spaced', async () => {
    const endpoint = await limited({ algorithm: 'leaky_bucket', limit: 50, per: 1 });
    await publish(endpoint, 150);
    const at = await arrivals(endpoint, 150);
    // No burst at all, and no holes: fifty a second from the first to the last.
    expect(mostWithin(at, 1000 - ON_THE_WAY_MS)).toBeLessThanOrEqual(50);
    expect(at.at(-1)! - at[0]).toBeGreaterThanOrEqual(149 * 20 - ON_THE_WAY_MS);
    expect(mostWithin(at, 200)).toBeLessThanOrEqual((200 + ON_THE_WAY_MS) / 20 + 1);
    // Overshoot over the whole run.
    expect(150).toBeLessThanOrEqual((1 + (50 * (at.at(-1)! - at[0] + ON_THE_WAY_MS)) / 1000) * 1.01);
    await untilDelivered(endpoint, 150);
  }, 30_000);

  it('a token bucket: its burst, then its rate', async () => {
    const endpoint = await limited({ algorithm: 'token_bucket', limit: 40, per: 1, burst: 20 });
    await publish(endpoint, 140);
    const at = await arrivals(endpoint, 140);
    expect(mostWithin(at, 1000 - ON_THE_WAY_MS)).toBeLessThanOrEqual(60);
    // Overshoot over the whole run: what came, against burst and rate for as long as it took.
    const allowed = 20 + 40 * ((at.at(-1)! - at[0] + ON_THE_WAY_MS) / 1000);
    expect(140).toBeLessThanOrEqual(allowed * 1.01);
    await untilDelivered(endpoint, 140);
  }, 30_000);

  it('a sliding window', async () => {
    const endpoint = await limited({ algorithm: 'sliding_window', limit: 40, per: 1 });
    await publish(endpoint, 130);
    const at = await arrivals(endpoint, 130);
    expect(mostWithin(at, 1000 - ON_THE_WAY_MS)).toBeLessThanOrEqual(40);
    expect(at.at(-1)! - at[0]).toBeGreaterThanOrEqual(3000 - ON_THE_WAY_MS);
    await untilDelivered(endpoint, 130);
  }, 30_000);

  it('a fixed window: its limit in each of the clock’s', async () => {
    const endpoint = await limited({ algorithm: 'fixed_window', limit: 30, per: 1 });
    await publish(endpoint, 100);
    const journal = await receiver.waitFor(100, { filter: { path: endpoint.path }, timeoutMs: 20_000 });
    // The database's clock is this machine's.
    const windows = Map.groupBy(journal, ({ epochMs }) => Math.floor((epochMs - ON_THE_WAY_MS / 2) / 1000));
    const most = mostWithin(
      journal.map(({ monotonicMs }) => monotonicMs).sort((a, b) => a - b),
      1000 - ON_THE_WAY_MS,
    );
    expect(most).toBeLessThanOrEqual(60);
    expect(windows.size).toBeGreaterThanOrEqual(3);
    const at = journal.map(({ epochMs }) => epochMs);
    expect(Math.max(...at) - Math.min(...at)).toBeGreaterThanOrEqual(2000 - ON_THE_WAY_MS);
    await untilDelivered(endpoint, 100);
  }, 30_000);
});

it('waiting burns no attempt, and is told as such', async () => {
  const endpoint = await limited({ algorithm: 'leaky_bucket', limit: 2, per: 10 });
  await publish(endpoint, 5);
  await arrivals(endpoint, 1);
  for (let tries = 0; ; tries++) {
    const rows = await database.query<{ because: string | null; n: number; tries: number }>(
      `SELECT due_because AS because, count(*)::int AS n, sum(tries + attempts + faults)::int AS tries FROM deliveries
        WHERE endpoint_id = $1 AND status = 'pending' GROUP BY 1`,
      [endpoint.endpointId],
    );
    if (rows.length === 1 && rows[0].because === 'rate_limit') {
      expect(rows[0]).toEqual({ because: 'rate_limit', n: 4, tries: 0 });
      break;
    }
    if (tries > 400) throw new Error(JSON.stringify(rows));
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  // Wanting more now: those that wait in the queue come sooner, by the new limit, from when they are next due.
  await database.query('UPDATE endpoints SET rate_limit = $2 WHERE id = $1', [
    endpoint.endpointId,
    JSON.stringify({ algorithm: 'leaky_bucket', limit: 1000, per: 1 }),
  ]);
  await database.query('UPDATE pgboss.job SET start_after = now() WHERE group_id = $1', [
    endpoint.endpointId,
  ]);
  await untilDelivered(endpoint, 5);
  const [{ attempts }] = await database.query<{ attempts: number }>(
    'SELECT sum(attempts)::int AS attempts FROM deliveries WHERE endpoint_id = $1',
    [endpoint.endpointId],
  );
  expect(attempts).toBe(5);
}, 30_000);

it('a 429 lowers the rate of an endpoint that says adaptive, and a limit that was set by hand stays', async () => {
  const limit: RateLimit = { algorithm: 'token_bucket', limit: 1000, per: 1, adaptive: true };
  const [adaptive, stubborn] = [
    await limited(limit, '/429/0'),
    await limited({ ...limit, adaptive: false }, '/429/0'),
  ];
  await publish(adaptive, 1);
  await publish(stubborn, 1);
  for (const { path } of [adaptive, stubborn]) await receiver.waitFor(1, { filter: { path } });
  for (let tries = 0; ; tries++) {
    const rows = await database.query<{ rate_factor: number; failing_attempts: number }>(
      'SELECT rate_factor, failing_attempts FROM lanes WHERE endpoint_id = ANY($1) ORDER BY endpoint_id',
      [[adaptive.endpointId, stubborn.endpointId]],
    );
    if (rows.every((row) => row.failing_attempts === 1)) {
      expect(rows.map((row) => row.rate_factor)).toEqual([0.5, 1]);
      break;
    }
    if (tries > 400) throw new Error(JSON.stringify(rows));
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  const transitions = await database.query(
    'SELECT kind, detail FROM lane_transitions WHERE endpoint_id = ANY($1)',
    [[adaptive.endpointId, stubborn.endpointId]],
  );
  expect(transitions).toEqual([{ kind: 'rate_lowered', detail: { factor: 0.5 } }]);
});
