import type { Config } from '@app/config';
import { Problem, STAFF } from '@app/contracts';
import { systemClock, systemRandom } from '@app/domain';
import { ensureAdminKey, EventTypes, Ids, Subscribers } from '@app/endpoints';
import {
  checkDurability,
  checkServerVersion,
  eventTypesRepository,
  migrate,
  subscribersRepository,
  type Database,
} from '@app/persistence';
import type { Keyring } from '@app/sealing';
import { CliError } from '../cli-error.js';
import { withDatabase } from '../find-database.js';
import { sealAfterMigration } from '../seal-secrets.js';

/** What the curl line of the first event names. */
export const EXAMPLE = { subscriber: 'example', eventType: 'example.greeted' };

export interface Prepared {
  /** The text of the admin key when it was made just now. */
  adminKey: string | null;
  /** Whether the example is there for the curl line. */
  example: boolean;
}

/** Makes a database ours, in this order: fit to be trusted, then up to date. */
export async function prepareDatabase(
  config: Config,
  url: string,
  keyring: Keyring,
  say: (line: string) => void,
): Promise<void> {
  const check = async (database: Database): Promise<void> => {
    const refusal =
      (await checkServerVersion(database)) ??
      (config.DANGEROUS_ALLOW_LOSSY_DATABASE ? null : await checkDurability(database));
    if (refusal) throw new CliError(refusal);
  };
  await withDatabase(url, check, null, null);
  const applied = await migrate(url);
  if (applied.length > 0) say(`database: ${applied.length} migration(s) applied`);
  const sealed = await withDatabase(url, (database) => sealAfterMigration(database, keyring), keyring);
  if (sealed !== null) say(`database: ${sealed}`);
}

/** The key and the example. Made when all else runs: a key that a failed start had made would never be shown. */
export function letSomebodyIn(config: Config, url: string, keyring: Keyring): Promise<Prepared> {
  return withDatabase(
    url,
    async (database) => ({
      example: await ensureExample(database),
      adminKey: await ensureAdminKey(database, config, systemRandom),
    }),
    keyring,
  );
}

/** Registered while there is no subscriber at all; one that somebody deleted later stays deleted. */
async function ensureExample(database: Database): Promise<boolean> {
  const isEmpty = (await subscribersRepository.list(database, STAFF, { limit: 1 })).length === 0;
  if (isEmpty) await registerExample(database);
  const subscriber = await subscribersRepository.find(database, STAFF, EXAMPLE.subscriber);
  return subscriber !== null && (await eventTypesRepository.find(database, EXAMPLE.eventType)) !== null;
}

async function registerExample(database: Database): Promise<void> {
  const description = 'Somebody said hello. Made by `posthorn up` for a first try.';
  await database
    .transaction(async (tx) => {
      if ((await eventTypesRepository.find(tx, EXAMPLE.eventType)) === null)
        await new EventTypes().register(tx, STAFF, { name: EXAMPLE.eventType, description });
      const subscribers = new Subscribers(new Ids(systemClock, systemRandom));
      await subscribers.register(tx, STAFF, { name: 'Example', externalId: EXAMPLE.subscriber });
    })
    .catch((error: unknown) => {
      // Another `up` on this database was quicker.
      if (!(error instanceof Problem && error.code === 'already_exists')) throw error;
    });
}
