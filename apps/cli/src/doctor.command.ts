import { loadConfig } from '@app/config';
import { runDoctor, type DoctorReport } from '@app/console';
import { systemClock } from '@app/domain';
import { Command } from 'commander';
import { explain } from './cli-error.js';
import { withDatabase, withDatabaseUrl } from './find-database.js';

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('Prove by SQL, while everything runs, that the promises hold. Changes nothing.')
    .option('--json', 'print the report as JSON')
    .addHelpText('after', '\nExit code: 0 all promises hold, 1 some do not, 2 they could not be checked.')
    .action(async ({ json = false }: { json?: boolean }) => {
      try {
        const report = await examine();
        console.log(json ? JSON.stringify(report, null, 2) : asText(report));
        process.exitCode = report.ok ? 0 : 1;
      } catch (error) {
        process.stderr.write(`posthorn doctor could not check: ${explain(error)}\n`);
        process.exitCode = 2;
      }
    });
}

function examine(): Promise<DoctorReport> {
  const config = loadConfig();
  const options = { allowLossy: config.DANGEROUS_ALLOW_LOSSY_DATABASE };
  return withDatabaseUrl(config, (url) =>
    withDatabase(url, (database) => runDoctor(database, systemClock, options)),
  );
}

function asText({ ok, checks }: DoctorReport): string {
  const width = Math.max(...checks.map((check) => check.name.length));
  const lines = checks.map((check) => {
    const sample = check.sample?.length
      ? `\n${' '.repeat(width + 8)}for example ${check.sample.join(', ')}`
      : '';
    return `${check.ok ? 'ok   ' : 'WRONG'}  ${check.name.padEnd(width)} ${check.detail}${sample}`;
  });
  const wrong = checks.filter((check) => !check.ok).length;
  return [
    ...lines,
    '',
    ok ? 'All promises hold.' : `${wrong} of ${checks.length} checks found something.`,
  ].join('\n');
}
