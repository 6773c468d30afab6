import { MIGRATIONS } from '../../../migrations/index.js';
import type { Database } from './database.js';

/** The migrations that this build needs and the database has not seen; empty when it is up to date. */
export async function pendingMigrations(database: Pick<Database, 'query'>): Promise<string[]> {
  const wanted = MIGRATIONS.map((migration) => migration.name);
  const [table] = await database.query<{ there: boolean }>(
    `SELECT to_regclass('migrations') IS NOT NULL AS there`,
  );
  if (!table.there) return wanted;
  const done = await database.query<{ name: string }>('SELECT name FROM migrations');
  const names = new Set(done.map((row) => row.name));
  return wanted.filter((name) => !names.has(name));
}
