import {
  dataKeysRepository,
  refuseWrongKeks,
  sealPlainRepository,
  type Database,
  type Tx,
} from '@app/persistence';
import type { Keyring } from '@app/sealing';
import { CliError } from './cli-error.js';

/** What one run has done, and what it has found nothing left of. */
export interface Sealed {
  secrets: number;
  headers: number;
  rewrapped: number;
}

/** Told after each batch. */
export type Progress = (what: keyof Sealed, done: number, left: number) => void;

// A transaction of some 20 ms: nobody whose row is in it waits noticeably.
export const SEAL_BATCH_DEFAULT = 200;

type Step = (tx: Tx, max: number, wait: boolean) => Promise<number>;

/**
 * Seals what is in plain text from before secrets were sealed; with `rewrap` also wraps data keys anew that another KEK than
 * the primary one has wrapped. A transaction a batch, while everything runs; what it has done stays done, and a second run
 * finds the rest.
 */
export async function sealSecrets(
  database: Database,
  options: { rewrap: boolean; batch?: number; progress?: Progress },
): Promise<Sealed> {
  const { rewrap, batch = SEAL_BATCH_DEFAULT, progress } = options;
  const { primaryId } = database.vault.keks;
  const plain = async (of: 'secrets' | 'headers') => (await sealPlainRepository.count(database))[of];
  const others = async (): Promise<number> => {
    const counts = await dataKeysRepository.countByKek(database);
    return counts.reduce((sum, { kekId, n }) => sum + (kekId === primaryId ? 0 : n), 0);
  };
  const run = async (what: keyof Sealed, step: Step, left: () => Promise<number>): Promise<number> => {
    let done = 0;
    for (let wait = false; ;) {
      const some = await database.transaction((tx) => step(tx, batch, wait));
      done += some;
      const rest = await left();
      if (some > 0) progress?.(what, done, rest);
      if (rest === 0) return done;
      // What others have locked is left out until nothing else is left.
      wait = some === 0;
    }
  };
  return {
    secrets: await run('secrets', sealPlainRepository.sealSecrets, () => plain('secrets')),
    headers: await run('headers', sealPlainRepository.sealHeaders, () => plain('headers')),
    rewrapped: rewrap ? await run('rewrapped', dataKeysRepository.rewrapSome, others) : 0,
  };
}

/**
 * The second half of the migration that made room for sealed secrets: SQL has no keys. Answers what to tell; without keys
 * nothing is sealed, which is told while there is something to seal.
 * @throws CliError when the keys are not those of this database
 */
export async function sealAfterMigration(
  database: Database,
  keyring: Keyring | null,
): Promise<string | null> {
  if (keyring) {
    const refusal = await refuseWrongKeks(database);
    if (refusal) throw new CliError(refusal);
    return sealedLine(await sealSecrets(database, { rewrap: false }), keyring.primaryId);
  }
  const { secrets, headers } = await sealPlainRepository.count(database);
  if (secrets + headers === 0) return null;
  return `${secrets} signing secret(s) and the headers of ${headers} endpoint(s) are in plain text: set POSTHORN_KEKS and run \`posthorn keys rewrap\`.`;
}

/** One line of what was done; null when nothing was. */
export function sealedLine({ secrets, headers, rewrapped }: Sealed, primaryId: string): string | null {
  const parts = [
    secrets > 0 && `${secrets} signing secret(s) sealed`,
    headers > 0 && `headers of ${headers} endpoint(s) sealed`,
    rewrapped > 0 && `${rewrapped} data key(s) wrapped by ${primaryId}`,
  ].filter((part) => part !== false);
  return parts.length === 0 ? null : parts.join(', ');
}
