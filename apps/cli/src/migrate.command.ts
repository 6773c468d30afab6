import { findKeyring, loadConfig } from '@app/config';
import { systemRandom } from '@app/domain';
import { checkServerVersion, migrate } from '@app/persistence';
import { Command } from 'commander';
import { CliError } from './cli-error.js';
import { withDatabase, withDatabaseUrl } from './find-database.js';
import { sealAfterMigration } from './seal-secrets.js';

export function migrateCommand(): Command {
  return new Command('migrate')
    .description('Bring the database up to date, and say what was done.')
    .action(async () => {
      const config = loadConfig();
      const keyring = await findKeyring(config, systemRandom);
      await withDatabaseUrl(config, async (url) => {
        // First, because it explains itself where a migration's SQL error would not.
        const tooOld = await withDatabase(url, checkServerVersion, null, null);
        if (tooOld) throw new CliError(tooOld);
        const done = await migrate(url);
        for (const name of done) console.log(`applied ${name}`);
        const sealed = await withDatabase(url, (database) => sealAfterMigration(database, keyring), keyring);
        if (sealed !== null) console.log(sealed);
        console.log(
          done.length === 0 ? 'The database is up to date.' : `${done.length} migration(s) applied.`,
        );
      });
    });
}
