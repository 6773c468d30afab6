/**
 * Promise: a round of clean-up deletes no more than it is told, however the planner has it run. Real: PostgreSQL, with the plans that are
 * chosen by chance otherwise (statistics of a moment): joins by loops that ask the inner side anew. One of them took 30 rows of 20.
 */
import { idempotencyRepository, requestLimitsRepository, type Database } from '@app/persistence';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { openDatabase } from '../support/fixtures.js';

const OTHER_JOINS = [
  'hashjoin',
  'mergejoin',
  'material',
  'memoize',
  'hashagg',
  'sort',
  'incremental_sort',
  'indexscan',
  'bitmapscan',
];

let database: Database;
let drop: () => Promise<void>;
beforeAll(async () => {
  const created = await createTestDatabase();
  ({ drop } = created);
  const admin = new pg.Client({ connectionString: created.adminUrl });
  await admin.connect();
  const name = new URL(created.url).pathname.slice(1);
  for (const join of OTHER_JOINS) await admin.query(`ALTER DATABASE ${name} SET enable_${join} = off`);
  await admin.end();
  database = await openDatabase(created.url, 'owner');
});
afterAll(async () => {
  await database.close();
  await drop();
});

it('of windows of rate limits', async () => {
  await database.query(
    `INSERT INTO request_windows SELECT 'old ' || n, 1, now() - interval '2 minutes' FROM generate_series(1, 30) n`,
  );
  expect(await requestLimitsRepository.deleteEnded(database, 20)).toBe(20);
  expect(await requestLimitsRepository.deleteEnded(database, 20)).toBe(10);
});

it('of idempotency keys', async () => {
  await database.query(
    `INSERT INTO idempotency_keys (scope, key, fingerprint, status_code, response, created_at)
     SELECT 'a', n::text, '\\x00', 202, '{}', now() - interval '2 days' FROM generate_series(1, 30) n`,
  );
  expect(await idempotencyRepository.deleteExpired(database, 20)).toBe(20);
  expect(await idempotencyRepository.deleteExpired(database, 20)).toBe(10);
});
