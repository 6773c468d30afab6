import { createDataSource } from './data-source.js';

/** Brings the schema up to date. Safe to call from several processes at once: the second waits for the first. */
export async function migrate(databaseUrl: string): Promise<string[]> {
  return withDataSource(databaseUrl, async (dataSource) => {
    const runner = dataSource.createQueryRunner();
    // A session lock on a connection of its own, held while the migrations run on others.
    await runner.query(`SELECT pg_advisory_lock(hashtextextended('posthorn_migrate', 0))`);
    try {
      const done = await dataSource.runMigrations({ transaction: 'each' });
      return done.map((migration) => migration.name);
    } finally {
      await runner.query(`SELECT pg_advisory_unlock(hashtextextended('posthorn_migrate', 0))`);
      await runner.release();
    }
  });
}

/** Takes back the newest migration; for development, and for the test that every down works. */
export async function revertLastMigration(databaseUrl: string): Promise<void> {
  await withDataSource(databaseUrl, (dataSource) => dataSource.undoLastMigration({ transaction: 'each' }));
}

async function withDataSource<T>(
  url: string,
  work: (dataSource: ReturnType<typeof createDataSource>) => Promise<T>,
): Promise<T> {
  const dataSource = createDataSource({
    url,
    applicationName: 'posthorn-migrate',
    poolMax: 3,
    statementTimeoutMs: 600_000,
  });
  await dataSource.initialize();
  try {
    return await work(dataSource);
  } finally {
    await dataSource.destroy();
  }
}
