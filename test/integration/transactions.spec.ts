/** Real: PostgreSQL, the hot connections in pipeline mode. */
import type { Database } from '@app/persistence';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { openDatabase } from '../support/fixtures.js';

let drop: () => Promise<void>;
let database: Database;
beforeAll(async () => {
  const created = await createTestDatabase();
  ({ drop } = created);
  database = await openDatabase(created.url, 'owner');
  await database.query('CREATE TABLE t (n integer PRIMARY KEY)');
});
afterAll(async () => {
  await database.close();
  await drop();
});

const rows = async (): Promise<number[]> =>
  (await database.query<{ n: number }>('SELECT n FROM t ORDER BY n')).map((row) => row.n);
const insert = 'INSERT INTO t VALUES ($1)';

it('commits what was sent with the commit, in order', async () => {
  await database.hotTransaction((tx) => tx.commitWith([1, 2].map((n) => () => tx.query(insert, [n]))));
  expect(await rows()).toEqual([1, 2]);
});

it('commits nothing when one statement fails, and says which', async () => {
  const failing = database.hotTransaction((tx) =>
    tx.commitWith([3, 1, 4].map((n) => () => tx.query(insert, [n]))),
  );
  await expect(failing).rejects.toMatchObject({ code: '23505' });
  expect(await rows()).toEqual([1, 2]);
});

it('commits nothing when a work fails before it sends its statement', async () => {
  const failing = database.hotTransaction((tx) =>
    tx.commitWith([
      () => tx.query(insert, [5]),
      () => Promise.reject(new Error('not sent')),
      () => tx.query(insert, [6]),
    ]),
  );
  await expect(failing).rejects.toThrow('not sent');
  expect(await rows()).toEqual([1, 2]);
});

it('rolls back what throws, and runs a deadlock’s loser again', async () => {
  await expect(
    database.hotTransaction(async (tx) => {
      await tx.query(insert, [7]);
      throw new Error('no');
    }),
  ).rejects.toThrow('no');
  expect(await rows()).toEqual([1, 2]);

  let met = 0;
  let bothLocked: () => void;
  const both = new Promise<void>((resolve) => (bothLocked = resolve));
  const lock = (first: number, second: number) =>
    database.hotTransaction(async (tx) => {
      await tx.query('UPDATE t SET n = n WHERE n = $1', [first]);
      if (++met === 2) bothLocked();
      await both;
      await tx.query('UPDATE t SET n = n WHERE n = $1', [second]);
    });
  await Promise.all([lock(1, 2), lock(2, 1)]);
  expect(met).toBe(3);
});

it('keeps its connections usable after errors', async () => {
  for (let n = 0; n < 30; n++)
    await database
      .hotTransaction((tx) => tx.commitWith([() => tx.query('SELECT 1/0')]))
      .catch(() => undefined);
  await database.hotTransaction((tx) => tx.commitWith([() => tx.query(insert, [8])]));
  expect(await rows()).toEqual([1, 2, 8]);
});
