import { PARTITION_DAYS_AHEAD } from '@app/persistence';
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';

/**
 * A migrated, empty database of its own for a test file: a copy of the run's template, about 100 ms.
 * The url is the application's role, which owns the database and is no superuser, as in production.
 */
export async function createTestDatabase(): Promise<{
  url: string;
  /** As superuser, who sees what the application's roles do not. */
  adminUrl: string;
  drop(): Promise<void>;
}> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  await asAdmin(`CREATE DATABASE ${name} TEMPLATE posthorn_template OWNER posthorn STRATEGY file_copy`);
  const url = new URL(inject('appUrl'));
  url.pathname = `/${name}`;
  const adminUrl = new URL(inject('adminUrl'));
  adminUrl.pathname = `/${name}`;
  // A run that midnight passes: as a migration of today would have left it.
  if (today() !== inject('templateDay'))
    await asAdmin(
      `SELECT posthorn_create_partitions(day, day + ${PARTITION_DAYS_AHEAD}, 1000) FROM cast(now() AT TIME ZONE 'UTC' AS date) AS day`,
      adminUrl.href,
    );
  return {
    url: url.href,
    adminUrl: adminUrl.href,
    // FORCE: a test that failed half way may have left its connections open.
    drop: () => asAdmin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

const today = (): string => new Date().toISOString().slice(0, 10);

async function asAdmin(statement: string, connectionString = inject('adminUrl')): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
