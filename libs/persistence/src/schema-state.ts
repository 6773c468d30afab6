import { MIGRATIONS } from '../../../migrations/index.js';
import { RowSecurity1795478400005 as RowSecurity } from '../../../migrations/1795478400005-row-security.js';
import type { Database } from './database.js';

/** The migrations that this build needs and the database has not seen; empty when it is up to date. */
export async function pendingMigrations(database: Pick<Database, 'query'>): Promise<string[]> {
  const wanted = MIGRATIONS.map((migration) => migration.name);
  const [table] = await database.query<{ there: boolean; readable: boolean | null }>(
    `SELECT oid IS NOT NULL AS there, has_table_privilege(oid, 'SELECT') AS readable
       FROM (SELECT to_regclass('migrations')::oid) AS t (oid)`,
  );
  if (!table.there) return wanted;
  // Our role was given its rights by this one.
  if (!table.readable) return wanted.slice(MIGRATIONS.findIndex(({ name }) => name === RowSecurity.name));
  const done = await database.query<{ name: string }>('SELECT name FROM migrations');
  const names = new Set(done.map((row) => row.name));
  return wanted.filter((name) => !names.has(name));
}
