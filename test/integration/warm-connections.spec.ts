/**
 * Real: api, worker, PostgreSQL, HTTP on loopback. Proves: once api and worker have started, each connection of their hot paths
 * has planned all that a publish and its delivery ask (held and promoted ones, too), for any values; that this writes nothing; and that a
 * database which is slow or refuses keeps nobody from starting.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLogger, Metrics } from '@app/observability';
import { rehearseAccepting, rehearseDelivering, type Database, type Tx } from '@app/persistence';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createApi, type Api } from '../../apps/api/src/create-api.js';
import { Worker } from '../../apps/worker/src/worker.js';
import { createClient, type PosthornClient } from '../support/client.js';
import { createTestDatabase } from '../support/database.js';
import { openDatabase } from '../support/fixtures.js';
import { ADMIN_KEY, configFor } from './api-fixture.js';

// More than a new lane has room for.
const EVENTS = 200;
// Of `openDatabase`, whose pools share ten connections.
const HOT = 5;

let test: Awaited<ReturnType<typeof createTestDatabase>>;
let database: Database;
let api: Api;
let worker: Worker;
let client: PosthornClient;
let receiver: Server;

beforeAll(async () => {
  test = await createTestDatabase();
  receiver = createServer((request, response) => void request.resume().on('end', () => response.end()));
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  database = await openDatabase(test.url);
  const config = configFor(test.url, { DATABASE_POOL_MAX: '10' });
  api = await createApi(config);
  client = createClient({ url: api.url, key: ADMIN_KEY });
  const logger = createLogger({ level: 'silent', process: 'worker' });
  worker = new Worker({ ...config, DATABASE_URL: test.url }, 'test', database, new Metrics(), logger);
  await worker.start();
});
afterAll(async () => {
  await worker?.stop();
  await api?.close();
  await database?.close();
  receiver.closeAllConnections();
  receiver.close();
  await test.drop();
});

it('a publish and its delivery are planned before anybody waits for them', async () => {
  const [accepting, delivering] = [await planned(api.database), await planned(database)];
  expect(accepting).toEqual(Array<string[]>(HOT).fill(accepting[0]));
  expect(delivering).toEqual(Array<string[]>(HOT).fill(delivering[0]));
  expect(await claimPlans()).toEqual(['queue_claim']);

  const { id } = await client.createSubscriber({ name: 'Acme' });
  const { port } = receiver.address() as AddressInfo;
  await client.createEndpoint(id, { url: `http://127.0.0.1:${port}/`, eventTypes: ['*'] });
  await client.createEventType('thing.happened');
  const events = Array.from({ length: EVENTS }, (_, n) => ({
    subscriber: id,
    type: 'thing.happened',
    data: { n },
  }));
  expect((await client.request('POST', '/v1/events/batch', { events })).status).toBe(202);
  expect((await client.request('POST', '/v1/events', events[0])).status).toBe(202);
  await until("SELECT count(*)::int AS n FROM deliveries WHERE status = 'delivered'", EVENTS + 1);

  // Who calls is looked up by one row's key: planned at once.
  const askedNow = (await planned(api.database)).map((names) =>
    names.filter((name) => !name.startsWith('api_key')),
  );
  expect(askedNow).toEqual(accepting);
  expect(await planned(database)).toEqual(delivering);
  expect(delivering[0]).toEqual(expect.arrayContaining(['record_give_places', 'queue_insert']));
  expect(await claimPlans()).toEqual(['queue_claim']);
});

it.each([
  ['accepting', rehearseAccepting],
  ['delivering', rehearseDelivering],
])('what is asked about nothing writes nothing: %s', async (_, rehearse) => {
  const written = await database.hotTransaction(async (tx) => {
    await Promise.all(rehearse(tx));
    return tx.query<{ id: string | null }>('SELECT pg_current_xact_id_if_assigned()::text AS id');
  });
  expect(written).toEqual([{ id: null }]);
});

it('a database that refuses or is slow keeps nobody from starting', async () => {
  const never = (): Promise<never> => Promise.reject(new Error('no'));
  await database.warm((tx) => [tx.query('SELECT 1 / 0')], never);
  expect(await database.hotTransaction((tx) => tx.query('SELECT 1 AS one'))).toEqual([{ one: 1 }]);

  await database.transaction(async (holder) => {
    await holder.query('SELECT pg_advisory_xact_lock(1)');
    await database.warm((tx) => [tx.query('SELECT pg_advisory_xact_lock(1)')], never, 100);
  });
});

/** The names of what each hot connection has planned for any values, and that it has planned nothing otherwise. */
async function planned(of: Database): Promise<string[][]> {
  let waiting = 0;
  let allAreHere = (): void => undefined;
  const here = new Promise<void>((resolve) => (allAreHere = resolve));
  const names = async (tx: Tx): Promise<string[]> => {
    if (++waiting === HOT) allAreHere();
    // Each on a connection of its own.
    await here;
    const rows = await tx.query<{ name: string; generic: boolean }>(
      `SELECT name, generic_plans > 0 AND custom_plans = 0 AS generic FROM pg_prepared_statements WHERE name <> '' ORDER BY name COLLATE "C"`,
    );
    expect(rows.filter(({ generic }) => !generic)).toEqual([]);
    return rows.map(({ name }) => name);
  };
  return Promise.all(Array.from({ length: HOT }, () => of.hotTransaction(names)));
}

async function claimPlans(): Promise<string[]> {
  const { rows } = await database.claims.query<{ name: string }>(
    'SELECT name FROM pg_prepared_statements WHERE generic_plans > 0',
  );
  return rows.map(({ name }) => name);
}

async function until(sql: string, wanted: number): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    const [row] = await database.query<{ n: number }>(sql);
    if (row.n === wanted) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`never became ${wanted}: ${sql}`);
}
