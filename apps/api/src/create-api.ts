import { configWarnings, describeConfig, loadKeyring, type Config } from '@app/config';
import { API_ROLE } from '@app/contracts';
import { systemClock, systemRandom, type Clock, type Random } from '@app/domain';
import { ensureAdminKey } from '@app/endpoints';
import { WatchBacklog } from '@app/ingest';
import { createLogger, Maintenance, Metrics, ScraperKey, type Logger, type Wait } from '@app/observability';
import { asSystem, openDatabase, rehearseAccepting, StartError, type Database } from '@app/persistence';
import { DeliverQueue } from '@app/queue';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { VERSION } from '../../version.js';
import type { ServerTimes } from './edge/server-options.js';
import { serveMetrics } from './health/serve-metrics.js';
import { createHttpApp } from './http-app.js';

/** A running api. */
export interface Api {
  app: NestFastifyApplication;
  /** The port it listens on, also when 0 was asked for. */
  port: number;
  url: string;
  /** Of METRICS_PORT, when that is set. */
  metricsPort: number | null;
  database: Database;
  logger: Logger;
  /** Takes no new requests, finishes those under way (at most 20 s), closes. Safe to call twice. */
  close(reason?: string): Promise<void>;
}

/** What a test may put in place of the real thing. */
export interface ApiOverrides {
  clock?: Clock;
  random?: Random;
  logger?: Logger;
  metrics?: Metrics;
  /** How long clients may take. */
  times?: ServerTimes;
  /** Between two rounds of a loop. */
  wait?: Wait;
  /** How long to wait for the database at start. */
  waitMs?: number;
}

// Longer than any statement may take (10 s), shorter than what orchestrators grant (30 s).
const DRAIN_MS = 20_000;
const SWEEP_MS = 50;
// The question walks all lanes: 40 ms of the database's with 200,000 endpoints. What comes in between is little beside the bound.
const BACKLOG_EVERY_MS = 5_000;

/** The composition root of the api: everything is made here, in order, and closed in the other order. */
export async function createApi(config: Config, overrides: ApiOverrides = {}): Promise<Api> {
  if (config.DATABASE_URL === null)
    throw new StartError(
      'DATABASE_URL is not set. `posthorn up` brings a database of its own; the api alone needs one.',
    );
  const clock = overrides.clock ?? systemClock;
  const random = overrides.random ?? systemRandom;
  const logger = overrides.logger ?? createLogger({ level: config.LOG_LEVEL, process: 'api' });
  const metrics = overrides.metrics ?? new Metrics();

  const database = await openDatabase({
    url: config.DATABASE_URL,
    applicationName: 'posthorn-api',
    poolMax: config.DATABASE_POOL_MAX,
    role: API_ROLE,
    warn: (sentence) => logger.warn({ detail: sentence }, 'role.loose'),
    allowLossy: config.DANGEROUS_ALLOW_LOSSY_DATABASE,
    keyring: await loadKeyring(config, random),
    waitMs: overrides.waitMs,
  });
  const queue = new DeliverQueue(database, {
    supervise: false,
    on: (kind, detail) => logger.warn({ kind, err: detail }, 'queue.warning'),
  });
  let draining = false;
  try {
    await Promise.all([queue.start(), queue.warm(rehearseAccepting, { claims: false })]);
    // A key that the operator chose is known to every api from its start; a generated one is `posthorn up`'s to print.
    if (config.POSTHORN_ADMIN_KEY !== null)
      await asSystem(() => ensureAdminKey(database, config, random, clock));

    const app = await createHttpApp(
      { config, database, queue, logger, metrics, clock, random },
      () => draining,
      overrides.times,
    );
    await app.listen({ host: config.HOST, port: config.PORT });
    const scraped =
      config.METRICS_PORT === null
        ? null
        : await serveMetrics(metrics, new ScraperKey(config.POSTHORN_METRICS_KEY), {
            host: config.HOST,
            port: config.METRICS_PORT,
          });
    const { port } = app.getHttpServer().address() as { port: number };
    logger.info(
      { config: describeConfig(config), version: VERSION, node: process.versions.node, port },
      'process.started',
    );

    for (const detail of configWarnings(config)) logger.warn({ detail }, 'config.warning');

    const backlog = app.get(WatchBacklog);
    // From when requests may come until they may not.
    const loops = new Maintenance(
      [{ name: 'backlog', everyMs: BACKLOG_EVERY_MS, runOnce: () => backlog.runOnce() }],
      random,
      metrics,
      logger,
      overrides.wait,
    );
    loops.start();

    let closing: Promise<void> | undefined;
    const close = async (reason: string): Promise<void> => {
      const startedAt = performance.now();
      draining = true;
      // Closing ends the connections that are idle now; those that finish a request become idle only then.
      const sweep = setInterval(() => app.getHttpServer().closeIdleConnections(), SWEEP_MS);
      await Promise.race([Promise.all([app.close(), loops.stop()]), timer(DRAIN_MS)]);
      clearInterval(sweep);
      await scraped?.close();
      await queue.stop();
      await database.close();
      logger.info({ reason, ms: Math.round(performance.now() - startedAt) }, 'process.stopped');
    };
    return {
      app,
      port,
      url: `http://${config.HOST.includes(':') ? `[${config.HOST}]` : config.HOST}:${port}`,
      metricsPort: scraped?.port ?? null,
      database,
      logger,
      close: (reason = 'closed') => (closing ??= close(reason)),
    };
  } catch (error) {
    await queue.stop();
    await database.close();
    throw error;
  }
}

function timer(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
