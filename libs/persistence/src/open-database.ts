import { setTimeout as delay } from 'node:timers/promises';
import type { DatabaseRole } from '@app/contracts';
import { systemRandom } from '@app/domain';
import type { Keyring } from '@app/sealing';
import { createDataSource } from './data-source.js';
import { isConnectionFailure } from './database-errors.js';
import { Database } from './database.js';
import { refuseWrongKeks } from './data-keys.repository.js';
import { checkDurability, checkServerVersion } from './durability.js';
import { checkRole, howRoleCanBeLeft, refusedRole } from './roles.js';
import { asSystem } from './row-scope.js';
import { pendingMigrations } from './schema-state.js';

/** One sentence for the operator: why this process does not start. */
export class StartError extends Error {}

export interface OpenOptions {
  url: string;
  applicationName: string;
  poolMax: number;
  role: DatabaseRole;
  /** Told once, when the login could step out of the role. */
  warn: (sentence: string) => void;
  /** DANGEROUS_ALLOW_LOSSY_DATABASE. */
  allowLossy: boolean;
  /** What opens the secrets in the database. */
  keyring: Keyring;
  /** How long to wait for a database that is away, as at the start of a whole machine. */
  waitMs?: number;
}

const WAIT_MS = 30_000;
const AGAIN_MS = 500;

/**
 * The database as api and worker need it: reachable, new enough, durable, migrated.
 * @throws StartError with the sentence to print
 */
export async function openDatabase(options: OpenOptions): Promise<Database> {
  const database = await connect(options);
  try {
    return await asSystem(() => checked(database, options));
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function checked(database: Database, options: OpenOptions): Promise<Database> {
  const refusal =
    (await checkServerVersion(database)) ??
    (options.allowLossy ? null : await checkDurability(database)) ??
    (await checkRole(database, options.role)) ??
    (await refuseUnmigrated(database)) ??
    (await refuseWrongKeks(database));
  if (refusal) throw new StartError(refusal);
  const loophole = await howRoleCanBeLeft(database);
  if (loophole) options.warn(loophole);
  return database;
}

async function refuseUnmigrated(database: Database): Promise<string | null> {
  const pending = await pendingMigrations(database);
  if (pending.length === 0) return null;
  return `The database lacks ${pending.length} of our migrations (${pending.join(', ')}): run \`posthorn migrate\` first.`;
}

async function connect({
  url,
  applicationName,
  poolMax,
  role,
  keyring,
  waitMs = WAIT_MS,
}: OpenOptions): Promise<Database> {
  const triesMax = Math.ceil(waitMs / AGAIN_MS);
  for (let tries = 1; ; tries++) {
    const dataSource = createDataSource({ url, applicationName, poolMax, role });
    try {
      return new Database(await dataSource.initialize(), systemRandom, keyring);
    } catch (error) {
      const refusal = refusedRole(error, role);
      if (refusal) throw new StartError(refusal);
      if (!isConnectionFailure(error)) throw new StartError(`The database refuses us: ${textOf(error)}`);
      if (tries >= triesMax)
        throw new StartError(`The database cannot be reached for ${waitMs / 1000} s: ${textOf(error)}`);
      await delay(AGAIN_MS);
    }
  }
}

/** A name with several addresses fails with one error for each, in an error without a text. */
function textOf(error: unknown): string {
  return error instanceof AggregateError ? error.errors.map(String).join(', ') : (error as Error).message;
}
