import '../../version-guard.js';
import '../../v8-flags.js';
import './v8-flags.js';
import { ConfigError, configWarnings, describeConfig, loadConfig, loadKeyring } from '@app/config';
import { WORKER_ROLE } from '@app/contracts';
import { systemRandom } from '@app/domain';
import { Metrics, ScraperKey, createLogger } from '@app/observability';
import { StartError, openDatabase } from '@app/persistence';
import { VERSION } from '../../version.js';
import { serveHealth } from './serve-health.js';
import { Worker } from './worker.js';

async function main(): Promise<void> {
  const config = loadConfig();
  const { DATABASE_URL } = config;
  if (DATABASE_URL === null)
    throw new StartError('DATABASE_URL is not set. (`posthorn up` brings a database of its own.)');
  const logger = createLogger({ level: config.LOG_LEVEL, process: 'worker' });
  const metrics = new Metrics();
  const database = await openDatabase({
    url: DATABASE_URL,
    applicationName: 'posthorn-worker',
    poolMax: config.DATABASE_POOL_MAX,
    role: WORKER_ROLE,
    warn: (sentence) => logger.warn({ detail: sentence }, 'role.loose'),
    allowLossy: config.DANGEROUS_ALLOW_LOSSY_DATABASE,
    keyring: await loadKeyring(config, systemRandom),
  });
  const worker = new Worker({ ...config, DATABASE_URL }, VERSION, database, metrics, logger);
  const http = await serveHealth(database, metrics, new ScraperKey(config.POSTHORN_METRICS_KEY), {
    host: config.HOST,
    port: config.WORKER_PORT,
  });
  await worker.start();
  logger.info(
    { config: describeConfig(config), version: VERSION, node: process.version, port: http.port },
    'process.started',
  );
  for (const detail of configWarnings(config)) logger.warn({ detail }, 'config.warning');
  process.send?.({ type: 'ready', port: http.port });

  let stopping = false;
  const stop = async (reason: string): Promise<void> => {
    if (stopping) return;
    stopping = true;
    const startedAt = performance.now();
    await worker.stop();
    await http.close();
    await database.close();
    logger.info({ reason, ms: Math.round(performance.now() - startedAt) }, 'process.stopped');
    process.exit(0);
  };
  process.on('SIGTERM', () => void stop('SIGTERM'));
  process.on('SIGINT', () => void stop('SIGINT'));
  // Whoever started us is gone: nobody would end us.
  process.on('disconnect', () => void stop('parent is gone'));
}

main().catch((error: unknown) => {
  const sentence =
    error instanceof StartError ||
    error instanceof ConfigError ||
    (error as { code?: string }).code === 'EADDRINUSE';
  process.stderr.write(
    `posthorn worker: ${sentence ? (error as Error).message : ((error as Error).stack ?? String(error))}\n`,
  );
  process.exit(1);
});
