import type { Config } from '@app/config';
import type { Logger } from '@app/observability';
import {
  checkDurability,
  checkServerVersion,
  Database,
  isConnectionFailure,
  pendingMigrations,
  type createDataSource,
} from '@app/persistence';

type DataSource = ReturnType<typeof createDataSource>;

/** Why the process does not start, in a sentence for the operator. */
export class CannotStart extends Error {}

// A database in the same compose file takes a few seconds; longer than this somebody should look.
const WAIT_MS = 30_000;
const AGAIN_MS = 500;

/** Connects, waiting for a database that is still starting, and refuses one that would break our promises. */
export async function connectAndCheck(
  dataSource: DataSource,
  config: Pick<Config, 'DANGEROUS_ALLOW_LOSSY_DATABASE'>,
  logger: Logger,
  waitMs = WAIT_MS,
): Promise<Database> {
  await connect(dataSource, logger, waitMs);
  const database = new Database(dataSource);
  try {
    refuse(await checkServerVersion(database));
    if (!config.DANGEROUS_ALLOW_LOSSY_DATABASE) refuse(await checkDurability(database));
    const pending = await pendingMigrations(database);
    if (pending.length > 0)
      refuse(`The database lacks ${pending.length} of our migrations (${pending.join(', ')}). Run \`posthorn migrate\` first.`);
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function connect(dataSource: DataSource, logger: Logger, waitMs: number): Promise<void> {
  const until = performance.now() + waitMs;
  for (let told = false; ; ) {
    try {
      await dataSource.initialize();
      return;
    } catch (error) {
      const text = error instanceof AggregateError ? error.errors.map(String).join(', ') : String(error);
      if (!isConnectionFailure(error)) throw new CannotStart(`The database refuses us: ${text}`, { cause: error });
      if (performance.now() >= until)
        throw new CannotStart(`The database could not be reached for ${Math.round(waitMs / 1000)} s: ${text}`, {
          cause: error,
        });
      if (!told) logger.warn({ err: error }, 'database.waiting');
      told = true;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

function refuse(sentence: string | null): void {
  if (sentence !== null) throw new CannotStart(sentence);
}
