/**
 * Real: PostgreSQL, whose server process of one connection is ended while a hot transaction holds that connection,
 * once between two statements and once during one, or while the api reads. The transaction fails; the process and its pool do not.
 */
import { asSystem, isConnectionFailure, type Database } from '@app/persistence';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { openDatabase } from '../support/fixtures.js';

let database: Database;
let drop: () => Promise<void>;
let url: string;

beforeAll(async () => {
  const created = await createTestDatabase();
  ({ drop, url } = created);
  database = await openDatabase(created.url, 'owner');
});
afterAll(async () => {
  await database.close();
  await drop();
});

const PID = 'SELECT pg_backend_pid() AS pid';
// Asked from another connection until that server process is gone.
async function end(pid: number): Promise<void> {
  await database.query('SELECT pg_terminate_backend($1, 5000)', [pid]);
}

it.each([
  ['between two statements', () => undefined],
  ['during a statement', 'SELECT pg_sleep(10)'],
])('a connection that is lost %s fails its transaction and nothing else', async (_, during) => {
  const lost = database.hotTransaction(async (tx) => {
    const [{ pid }] = await tx.query<{ pid: number }>(PID);
    const busy = typeof during === 'string' ? tx.query(during) : Promise.resolve();
    await Promise.all([busy, end(pid)]);
    // The news of the lost connection is an event of its own: let it come while nobody waits for an answer.
    await new Promise((resolve) => setImmediate(resolve));
    await tx.query(PID);
  });
  await expect(lost).rejects.toSatisfy(isConnectionFailure);
  expect(await database.hotTransaction((tx) => tx.query('SELECT 1 AS one'))).toEqual([{ one: 1 }]);
});

it('a connection that is lost while the api reads fails that, and not the process', async () => {
  const api = await openDatabase(url, 'api');
  const reading = asSystem(() => api.query('SELECT pg_sleep(30), $1::text AS marked', ['api reads']));
  // Told before anybody looks.
  reading.catch(() => undefined);
  for (let ended = false; !ended;) {
    const rows = await database.query(
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query LIKE '%AS marked%' AND pid <> pg_backend_pid()`,
    );
    ended = rows.length > 0;
  }
  await expect(reading).rejects.toSatisfy(isConnectionFailure);
  await new Promise((resolve) => setImmediate(resolve));
  expect(await asSystem(() => api.query('SELECT 1 AS one'))).toEqual([{ one: 1 }]);
  await api.close();
});
