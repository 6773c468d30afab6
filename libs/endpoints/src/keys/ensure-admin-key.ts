import type { Config } from '@app/config';
import { fromPublicId, newId, systemClock, type Clock, type Random } from '@app/domain';
import { auditRepository, StartError, type Database, type Tx } from '@app/persistence';
import { ApiKeys } from './api-keys.js';
import { auditOfKey } from './audit-keys.js';
import { readKeyText } from './key-text.js';

/**
 * Sees to it that somebody can get in. With POSTHORN_ADMIN_KEY that key is registered, by its hash; without, the very
 * first start makes one. Answers the text to print once, or null when there is nothing to print.
 * @throws StartError when POSTHORN_ADMIN_KEY could never be accepted
 */
export async function ensureAdminKey(
  database: Database,
  config: Pick<Config, 'POSTHORN_ADMIN_KEY' | 'POSTHORN_ENVIRONMENT'>,
  random: Random,
  clock: Clock = systemClock,
): Promise<string | null> {
  const { POSTHORN_ADMIN_KEY: given, POSTHORN_ENVIRONMENT: environment } = config;
  const problem = given === null ? null : adminKeyProblem(given, environment);
  if (problem !== null) throw new StartError(`POSTHORN_ADMIN_KEY ${problem}`);
  const keys = new ApiKeys(database, clock, random, environment);
  return database.transaction(async (tx) => {
    const made =
      given === null
        ? await keys.createFirst(tx)
        : { id: await keys.register(tx, 'POSTHORN_ADMIN_KEY', given), key: null };
    if (made === null || made.id === null) return null;
    await audit(tx, keys, made.id, newId(clock.now().getTime(), random));
    return made.key;
  });
}

/** What is of our form is read as ours: one that is spoiled, a customer's, or of elsewhere would be refused ever after. */
function adminKeyProblem(text: string, environment: string): string | null {
  const read = readKeyText(text);
  if (read === null) return null;
  if (read === 'mistyped') return 'has the form of a key of Posthorn, with a typing error in it.';
  if (read.kind === 'token') return 'is an access token, which customers get; a key begins with ph_.';
  if (read.environment !== environment)
    return `is a key of the environment ${read.environment}; this one is ${environment} (POSTHORN_ENVIRONMENT).`;
  return null;
}

async function audit(tx: Tx, keys: ApiKeys, publicId: string, id: string): Promise<void> {
  await auditRepository.insert(tx, {
    id,
    actor: { kind: 'system', id: 'start' },
    action: 'api_key.create',
    route: null,
    object: publicId,
    subscriberId: null,
    ip: null,
    requestId: null,
    ...auditOfKey(null, await keys.get(tx, fromPublicId('key', publicId))),
  });
}
