import { join, resolve } from 'node:path';
import { ensureKeyFile, loadConfig, loadKeyring, type Config } from '@app/config';
import { API_ROLE, WORKER_ROLE } from '@app/contracts';
import { systemRandom } from '@app/domain';
import { Command } from 'commander';
import { explain } from './cli-error.js';
import { runDemo } from './demo/run-demo.js';
import { KeptPostgres } from './up/keep-postgres.js';
import { outwaitOrphans } from './up/outwait-orphans.js';
import { letSomebodyIn, prepareDatabase } from './up/prepare-database.js';
import { refuseTakenPorts } from './up/refuse-taken-ports.js';
import { holdDataDir, markOf, type Hold } from './up/run-file.js';
import { listenForStop, Stopped, type StopRequest } from './up/stop-request.js';
import { SupervisedProcess } from './up/supervised-process.js';
import { urlOf, welcome } from './up/welcome.js';

export function upCommand(): Command {
  return new Command('up')
    .description(
      'Run everything on this machine: PostgreSQL unless DATABASE_URL is set, migrations, an api, a worker.',
    )
    .option(
      '--demo',
      'also receive on loopback, publish a dozen events, and print each attempt as it happens',
    )
    .action(({ demo = false }: { demo?: boolean }) => up(demo));
}

/** What was started, in order; ended in the opposite order. */
type Endings = (() => Promise<void>)[];

async function up(demo: boolean): Promise<void> {
  const config = loadConfig();
  const stop = listenForStop();
  const endings: Endings = [];
  let failure: unknown;
  try {
    await start(config, demo, stop, endings);
    await stop.happens;
  } catch (error) {
    if (!(error instanceof Stopped)) failure = error;
  }
  if (failure === undefined) say('stopping: requests under way may take up to 20 s');
  for (const end of endings.reverse()) await end().catch((error: unknown) => (failure ??= error));
  if (failure === undefined) say('stopped');
  else process.stderr.write(`posthorn: ${explain(failure)}\n`);
  // Not left to the event loop: an idle keep-alive connection of the demo would hold the terminal for seconds.
  process.exit(failure === undefined ? 0 : 1);
}

async function start(config: Config, demo: boolean, stop: StopRequest, endings: Endings): Promise<void> {
  const dataDir = config.POSTHORN_DATA_DIR;
  const hold = await holdDataDir(dataDir);
  endings.push(() => hold.release());
  await stop.before(outwaitOrphans(hold.orphans, say));
  await refuseTakenPorts(config);
  const madeFile = await ensureKeyFile(config, systemRandom);
  if (madeFile !== null)
    say(
      `made the key file ${madeFile}: without it the secrets in the database are lost, and a backup of the database is no use`,
    );
  const keyring = await loadKeyring(config, systemRandom);

  const own = config.DATABASE_URL === null ? await startPostgres(dataDir, hold, endings) : null;
  const url = config.DATABASE_URL ?? own!.url;
  stop.check();
  if (config.DATABASE_URL !== null) await hold.note({ database: 'external' });
  // Never abandoned half way: its connections would outlive the server that we stop.
  await prepareDatabase(config, url, keyring, say);
  stop.check();

  // On our own server each logs in as what it is; on another one it takes its role at connect.
  const urls = {
    api: own?.roleUrl(API_ROLE) ?? url,
    worker: own?.roleUrl(WORKER_ROLE) ?? url,
  };
  const env = {
    POSTHORN_ALLOW_CIDRS: demo ? withLoopback(config) : config.POSTHORN_ALLOW_CIDRS,
  };
  const [apiPort] = await stop.before(startProcesses(dataDir, urls, env, hold, endings));
  const apiUrl = urlOf(config.HOST, apiPort);
  say(`logs of api and worker: ${join(dataDir, 'logs')}`);
  console.log(welcome(apiUrl, await letSomebodyIn(config, url, keyring), config));
  if (demo) await stop.before(runDemo(apiUrl, url, config.POSTHORN_ENVIRONMENT, endings));
}

async function startPostgres(dataDir: string, hold: Hold, endings: Endings): Promise<KeptPostgres> {
  say(`starting PostgreSQL, data in ${resolve(dataDir)}`);
  const postgres = await KeptPostgres.start(dataDir, say);
  endings.push(() => postgres.stop());
  await hold.note({ database: 'embedded' });
  return postgres;
}

async function startProcesses(
  dataDir: string,
  urls: { api: string; worker: string },
  changes: Record<string, string>,
  hold: Hold,
  endings: Endings,
): Promise<[api: number, worker: number]> {
  // Handed on, not read: the children read it through libs/config as we did.
  const env = { ...process.env, ...changes };
  const processes: SupervisedProcess[] = [];
  const noteNow = async (): Promise<void> => {
    const pids = processes.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
    // Not noting them costs the next start a clear sentence about a taken port, no more.
    await hold.note({ children: await Promise.all(pids.map(markOf)) }).catch(() => {});
  };
  // One after the other: who looked first may be done last, and would leave a child out that had just been started.
  let noting: Promise<void> = Promise.resolve();
  const noteChildren = (): void => void (noting = noting.then(noteNow));
  const make = (name: 'api' | 'worker', portVariable: string) => {
    const entry = resolve(import.meta.dirname, `../../${name}/src/main.js`);
    const logFile = join(dataDir, 'logs', `${name}.log`);
    const made = new SupervisedProcess(
      { name, entry, env: { ...env, DATABASE_URL: urls[name] }, logFile, portVariable },
      say,
      noteChildren,
    );
    processes.push(made);
    return made;
  };
  const api = make('api', 'PORT');
  const worker = make('worker', 'WORKER_PORT');
  endings.push(async () => void (await Promise.all([api.stop(), worker.stop()])));
  return Promise.all([api.start(), worker.start()]);
}

function withLoopback({ POSTHORN_ALLOW_CIDRS: allowed }: Config): string {
  say('demo: deliveries may reach 127.0.0.0/8 (POSTHORN_ALLOW_CIDRS), where its receiver listens');
  return [...(allowed === '' ? [] : [allowed]), '127.0.0.0/8'].join(',');
}

function say(line: string): void {
  console.log(`· ${line}`);
}
