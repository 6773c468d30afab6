import type { Config } from '@app/config';
import { systemClock, type Clock, type Random } from '@app/domain';
import type { Database } from '@app/persistence';
import { ApiKeys } from './api-keys.js';

/**
 * Sees to it that somebody can get in. With POSTHORN_ADMIN_KEY that key is registered, by its hash; without, the very
 * first start makes one. Answers the text to print once, or null when there is nothing to print.
 */
export async function ensureAdminKey(
  database: Database,
  config: Pick<Config, 'POSTHORN_ADMIN_KEY'>,
  random: Random,
  clock: Clock = systemClock,
): Promise<string | null> {
  const keys = new ApiKeys(database, clock, random);
  const given = config.POSTHORN_ADMIN_KEY;
  return database.transaction(async (tx) => {
    if (given === null) return keys.createFirst(tx);
    await keys.register(tx, 'POSTHORN_ADMIN_KEY', given);
    return null;
  });
}
