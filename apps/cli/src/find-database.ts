import type { Config } from '@app/config';
import { WORKER_ROLE, type DatabaseRole } from '@app/contracts';
import { findEmbeddedPostgres } from '@app/embedded-postgres';
import { systemRandom } from '@app/domain';
import { createDataSource, Database, refusedRole } from '@app/persistence';
import type { Keyring } from '@app/sealing';
import { CliError, messageOf } from './cli-error.js';
import { whoRunsOn } from './up/run-file.js';

/**
 * The database that a command is about: DATABASE_URL, or the embedded server of the `posthorn up` that runs on
 * POSTHORN_DATA_DIR. A command never starts a server of its own: an `up` that starts meanwhile would find it held.
 */
export async function withDatabaseUrl<T>(config: Config, work: (url: string) => Promise<T>): Promise<T> {
  if (config.DATABASE_URL !== null) return work(config.DATABASE_URL);
  const dataDir = config.POSTHORN_DATA_DIR;
  const run = await whoRunsOn(dataDir);
  if (run === null)
    throw new CliError(
      `DATABASE_URL is not set and no \`posthorn up\` runs on ${dataDir}: start it, or say which database is meant.`,
    );
  if (run.database === 'starting')
    throw new CliError(`\`posthorn up\` (pid ${run.pid}) is still starting: try again.`);
  if (run.database === 'external')
    throw new CliError(
      `\`posthorn up\` (pid ${run.pid}) on ${dataDir} uses a DATABASE_URL: set the same one for this command.`,
    );
  const url = await findEmbeddedPostgres(dataDir).catch((error: unknown) => {
    throw new CliError(messageOf(error));
  });
  if (url === null)
    throw new CliError(
      `The PostgreSQL of \`posthorn up\` (pid ${run.pid}) is being started again: try again.`,
    );
  return work(url);
}

/**
 * A small pool, as the worker is: commands see every subscriber and own nothing. `role` null: as whoever the URL
 * says, for a database that may be old or empty and have no roles yet. With KEKs for what opens or makes secrets.
 */
export async function withDatabase<T>(
  url: string,
  work: (database: Database) => Promise<T>,
  keyring: Keyring | null = null,
  role: DatabaseRole | null = WORKER_ROLE,
): Promise<T> {
  const database = await connect(url, keyring, role ?? undefined);
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

async function connect(url: string, keyring: Keyring | null, role?: DatabaseRole): Promise<Database> {
  try {
    return new Database(
      await createDataSource({ url, applicationName: 'posthorn-cli', poolMax: 3, role }).initialize(),
      systemRandom,
      keyring,
    );
  } catch (error) {
    const refusal = role && refusedRole(error, role);
    throw new CliError(refusal ?? `${databaseName(url)} cannot be used: ${messageOf(error)}`);
  }
}

/** Host and name, never the password. */
function databaseName(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null || !/^postgres(ql)?:$/.test(parsed.protocol))
    return 'DATABASE_URL is no postgres:// URL and';
  return `The database ${parsed.host}${parsed.pathname}`;
}
