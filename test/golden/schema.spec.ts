import { migrate, revertLastMigration, type Database } from '@app/persistence';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MIGRATIONS } from '../../migrations/index.js';
import { describeCatalogue } from '../support/catalogue.js';
import { createTestDatabase } from '../support/database.js';
import { openDatabase } from '../support/fixtures.js';
import { expectGolden } from '../support/golden.js';

/** Real: PostgreSQL, every migration up, down and up again. */
describe('the schema', () => {
  let url: string;
  let drop: () => Promise<void>;
  let database: Database;
  beforeAll(async () => {
    ({ url, drop } = await createTestDatabase());
    database = await openDatabase(url, 'owner');
  });
  afterAll(async () => {
    await database.close();
    await drop();
  });

  it('is the golden file', async () => {
    expectGolden('test/golden/schema.txt', await describeCatalogue(database));
  });

  it('says of every index which query it serves', async () => {
    const silent = await database.query(
      `SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
        WHERE t.relnamespace = 'public'::regnamespace AND NOT i.relispartition AND t.relname <> 'migrations'
          AND obj_description(i.oid) IS NULL AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.oid)`,
    );
    expect(silent).toEqual([]);
  });

  it('is gone after every down, and the same after up again', async () => {
    const before = await describeCatalogue(database);
    for (const _ of MIGRATIONS) await revertLastMigration(url);
    const left = await database.query(
      `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'migrations'
       UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
       UNION ALL SELECT nspname FROM pg_namespace WHERE nspname = 'pgboss'`,
    );
    expect(left).toEqual([]);
    await migrate(url);
    expect(await describeCatalogue(database)).toBe(before);
  });

  it('migrates once when two processes start at the same time', async () => {
    for (const _ of MIGRATIONS) await revertLastMigration(url);
    const done = await Promise.all([migrate(url), migrate(url)]);
    expect(done.map((names) => names.length).toSorted((a, b) => a - b)).toEqual([0, MIGRATIONS.length]);
  });
});
