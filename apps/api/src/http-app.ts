import { BODY_BYTES_MAX } from '@app/contracts';
import { parseOrigins } from '@app/config';
import { AcceptEvents, WatchBacklog } from '@app/ingest';
import { ScraperKey } from '@app/observability';
import { parseCidrs } from '@app/domain';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ApiModule, type ApiParts } from './api.module.js';
import { serveDocs } from './docs/serve-docs.js';
import { Authentication } from './edge/authentication.js';
import { proxyTrust } from './edge/client-address.js';
import { Cors } from './edge/cors.js';
import { addHttpHooks, requestIdOf } from './edge/http-hooks.js';
import { LimitRequests } from './edge/limit-requests.js';
import { readJsonBodies } from './edge/json-body.js';
import { problemText } from './edge/problem.filter.js';
import { Problem } from '@app/contracts';
import { PublishDoor } from './edge/publish-door.js';
import { RequestLimits } from './edge/request-limits.js';
import { RouteTable } from './edge/route-table.js';
import { securityHeaders } from './edge/security-headers.js';
import { boundConnections, serverOptions, type ServerTimes } from './edge/server-options.js';
import { NestLog } from './nest-log.js';

/** The Nest application over Fastify with our edge around it. Neither listens nor connects to anything. */
export async function createHttpApp(
  parts: Omit<ApiParts, 'routes'>,
  draining: () => boolean = () => false,
  times?: ServerTimes,
): Promise<NestFastifyApplication> {
  const routes = new RouteTable();
  const adapter = new FastifyAdapter({
    ...serverOptions(times, (code) => parts.metrics.connectionsRefused.inc({ code })),
    bodyLimit: BODY_BYTES_MAX,
    genReqId: requestIdOf,
    requestIdHeader: false,
    trustProxy: proxyTrust(parseCidrs(parts.config.POSTHORN_TRUSTED_PROXIES)),
    // While draining our own hook answers, in our own form.
    return503OnClosing: false,
    frameworkErrors: (_error: unknown, request: unknown, reply: unknown) =>
      badUrl(request as FastifyRequest, reply as FastifyReply),
  });
  const app = await NestFactory.create<NestFastifyApplication>(
    ApiModule.forRoot({ ...parts, routes }),
    adapter,
    {
      bodyParser: false,
      logger: new NestLog(parts.logger),
      abortOnError: false,
    },
  );
  const fastify = adapter.getInstance() as FastifyInstance;
  const { logger, metrics, database, clock, config } = parts;
  const monotonic = () => performance.now();
  addHttpHooks(fastify, {
    authentication: new Authentication(database, clock, config.POSTHORN_ENVIRONMENT),
    limits: new LimitRequests(config, new RequestLimits(database, metrics, monotonic), metrics, monotonic),
    door: new PublishDoor(app.get(AcceptEvents), app.get(WatchBacklog)),
    cors: new Cors(parseOrigins(config.POSTHORN_CORS_ORIGINS), routes),
    scraperKey: new ScraperKey(config.POSTHORN_METRICS_KEY),
    hsts: config.POSTHORN_HSTS,
    routes,
    logger,
    metrics,
    draining,
  });
  boundConnections(fastify);
  readJsonBodies(fastify);
  serveDocs(app);
  return app;
}

/** A path that cannot be decoded never reaches a route or a hook. */
function badUrl(request: FastifyRequest, reply: FastifyReply): void {
  const problem = new Problem('invalid_request', 'The path is not a valid URL path.');
  void reply
    .code(problem.status)
    .header('x-request-id', request.id)
    .headers(securityHeaders(request.url, false))
    .header('content-type', 'application/problem+json')
    .send(problemText(problem, request.url, request.id));
}
