import { loadConfig } from '@app/config';
import { checkServerVersion, migrate } from '@app/persistence';
import { Command } from 'commander';
import { CliError } from './cli-error.js';
import { withDatabase, withDatabaseUrl } from './find-database.js';

export function migrateCommand(): Command {
  return new Command('migrate')
    .description('Bring the database up to date, and say what was done.')
    .action(async () => {
      const config = loadConfig();
      await withDatabaseUrl(config, async (url) => {
        // First, because it explains itself where a migration's SQL error would not.
        const tooOld = await withDatabase(url, checkServerVersion);
        if (tooOld) throw new CliError(tooOld);
        const done = await migrate(url);
        for (const name of done) console.log(`applied ${name}`);
        console.log(
          done.length === 0 ? 'The database is up to date.' : `${done.length} migration(s) applied.`,
        );
      });
    });
}
