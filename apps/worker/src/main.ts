import '../../version-guard.js';
import '../../v8-flags.js';
import './v8-flags.js';
import type { AddressInfo } from 'node:net';
import 'reflect-metadata';
import {
  ConfigError,
  configWarnings,
  describeConfig,
  loadConfig,
  loadKeyring,
  type Config,
} from '@app/config';
import { HEADERS_SECONDS_MAX, KEEP_ALIVE_SECONDS, REQUEST_SECONDS_MAX, WORKER_ROLE } from '@app/contracts';
import { systemRandom } from '@app/domain';
import { Metrics, ScraperKey, createLogger } from '@app/observability';
import { Database, StartError, openDatabase } from '@app/persistence';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { VERSION } from '../../version.js';
import { HealthController, METRICS, SCRAPER_KEY } from './health.controller.js';
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
  const http = await serveHealth(database, metrics, config);
  await worker.start();
  const port = (http.getHttpServer().address() as AddressInfo).port;
  logger.info(
    { config: describeConfig(config), version: VERSION, node: process.version, port },
    'process.started',
  );
  for (const detail of configWarnings(config)) logger.warn({ detail }, 'config.warning');
  process.send?.({ type: 'ready', port });

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

async function serveHealth(
  database: Database,
  metrics: Metrics,
  { HOST, WORKER_PORT, POSTHORN_METRICS_KEY }: Config,
): Promise<NestFastifyApplication> {
  @Module({
    controllers: [HealthController],
    providers: [
      { provide: Database, useValue: database },
      { provide: METRICS, useValue: metrics },
      { provide: SCRAPER_KEY, useValue: new ScraperKey(POSTHORN_METRICS_KEY) },
    ],
  })
  class HealthModule {}
  // As the api's: who asks slowly is cut, and nothing of an answer is for a browser.
  const adapter = new FastifyAdapter({
    requestTimeout: REQUEST_SECONDS_MAX * 1000,
    keepAliveTimeout: KEEP_ALIVE_SECONDS * 1000,
    http: { headersTimeout: HEADERS_SECONDS_MAX * 1000, requestTimeout: REQUEST_SECONDS_MAX * 1000 },
  });
  const app = await NestFactory.create<NestFastifyApplication>(HealthModule, adapter, { logger: false });
  adapter.getInstance<FastifyInstance>().addHook('onRequest', async (_, reply) => {
    reply.headers({
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    });
  });
  await app.listen(WORKER_PORT, HOST);
  return app;
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
