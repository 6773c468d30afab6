import { loadConfig, loadKeyring } from '@app/config';
import { systemRandom } from '@app/domain';
import { refuseWrongKeks } from '@app/persistence';
import { Command, InvalidArgumentError } from 'commander';
import { audit } from './audit.js';
import { CliError } from './cli-error.js';
import { withDatabase, withDatabaseUrl } from './find-database.js';
import { SEAL_BATCH_DEFAULT, sealedLine, sealSecrets } from './seal-secrets.js';

const BATCH_MAX = 5000;

export function rewrapCommand(): Command {
  return new Command('rewrap')
    .description(
      'Wrap every data key by the first key of POSTHORN_KEKS, and seal what is still in plain text. While everything runs.',
    )
    .option('--batch <n>', 'rows of one transaction', parseBatch, SEAL_BATCH_DEFAULT)
    .option('--json', 'print JSON')
    .action(async ({ batch, json = false }: { batch: number; json?: boolean }) => {
      const config = loadConfig();
      const keyring = await loadKeyring(config, systemRandom);
      await withDatabaseUrl(config, (url) =>
        withDatabase(
          url,
          async (database) => {
            const refusal = await refuseWrongKeks(database);
            if (refusal) throw new CliError(refusal);
            // Before the first batch: a run that is cut off has done something too.
            await database.transaction((tx) =>
              audit(tx, {
                action: 'data_key.rewrap',
                object: keyring.primaryId,
                subscriberId: null,
                before: null,
                after: { primary: keyring.primaryId },
              }),
            );
            const done = await sealSecrets(database, {
              rewrap: true,
              batch,
              // Not part of what a script reads.
              progress: (what, n, left) => process.stderr.write(`${what}: ${n} done, ${left} left\n`),
            });
            if (json) console.log(JSON.stringify({ primary: keyring.primaryId, ...done }));
            else
              console.log(
                sealedLine(done, keyring.primaryId) ??
                  `Nothing to do: everything is sealed under ${keyring.primaryId}.`,
              );
          },
          keyring,
        ),
      );
    });
}

function parseBatch(text: string): number {
  const n = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(n >= 1 && n <= BATCH_MAX)) throw new InvalidArgumentError(`A whole number from 1 to ${BATCH_MAX}.`);
  return n;
}
