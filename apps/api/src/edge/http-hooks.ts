import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Problem } from '@app/contracts';
import type { Logger, Metrics, ScraperKey } from '@app/observability';
import { asSystem, inScopes } from '@app/persistence';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Answer } from './answer.js';
import { KEYED_PREFIX, METRICS_ROUTE } from './api-key.guard.js';
import type { Authentication } from './authentication.js';
import type { Cors } from './cors.js';
import type { LimitRequests } from './limit-requests.js';
import type { PublishDoor } from './publish-door.js';
import { checkBounds, refuseEncodedBody } from './request-bounds.js';
import type { RouteTable } from './route-table.js';
import { securityHeaders } from './security-headers.js';

const REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;

/** The caller's request id when it is one that logs can hold, else a new one. */
export function requestIdOf(raw: Pick<IncomingMessage, 'headers'>): string {
  const given = raw.headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
}

export interface HookParts {
  authentication: Authentication;
  limits: LimitRequests;
  door: PublishDoor;
  cors: Cors;
  scraperKey: ScraperKey;
  /** POSTHORN_HSTS. */
  hsts: boolean;
  routes: RouteTable;
  logger: Logger;
  metrics: Metrics;
  /** True once the process drains: new requests on open connections are sent away. */
  draining: () => boolean;
}

/** What happens around every request, in the order in which it happens. */
export function addHttpHooks(fastify: FastifyInstance, parts: HookParts): void {
  fastify.addHook('onRoute', (route) => parts.routes.add(route));

  fastify.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    reply.headers(securityHeaders(request.url, parts.hsts || request.protocol === 'https'));
    if (parts.cors.handle(request, reply)) return reply;
    checkBounds(request);
    if (parts.draining()) {
      reply.header('connection', 'close');
      throw new Problem('unavailable', 'This process is stopping. Try again: another one will answer.', {
        retryAfterSeconds: 1,
      });
    }
    // Before the body is read: nobody without a key makes us hold four megabytes.
    if (isKeyed(request, parts))
      // Who it is lies in rows of nobody in particular.
      request.caller = await parts.limits.authenticate(request, reply, (each) =>
        asSystem(() => parts.authentication.callerOf(each)),
      );
    await parts.limits.admit(request, reply);
    refuseEncodedBody(request);
    parts.door.enter(request, reply);
  });

  // The one place where a request gets its scope: whatever its handler asks the database is of this caller, also where a
  // query forgot to say so. With a callback, so that it holds for all that follows; here, because what runs when a body has
  // arrived runs in the context of its socket.
  fastify.addHook('preValidation', (request, _reply, done) => {
    if (request.caller) inScopes([request.caller.scope], done);
    else done();
  });

  fastify.addHook('preSerialization', async (request, reply, payload) => {
    if (payload instanceof Answer) sendAsItIs(reply, payload);
    else linkNextPage(request, reply, payload);
    return payload;
  });

  fastify.addHook('onResponse', async (request, reply) => handled(request, reply, parts));
}

function isKeyed(request: FastifyRequest, { scraperKey }: HookParts): boolean {
  const { url } = request.routeOptions;
  if (url === METRICS_ROUTE) request.isScraper = scraperKey.isIn(request.headers);
  return url?.startsWith(KEYED_PREFIX) || (url === METRICS_ROUTE && !request.isScraper);
}

function sendAsItIs(reply: FastifyReply, answer: Answer): void {
  reply.code(answer.status).headers(answer.headers);
  reply.serializer(() => answer.text);
  if (answer.text === '') reply.removeHeader('content-type');
}

function linkNextPage(request: FastifyRequest, reply: FastifyReply, payload: unknown): void {
  // A JWK Set calls its rows keys.
  const { data, keys, nextCursor } = (payload ?? {}) as Record<string, unknown>;
  if (!Array.isArray(data ?? keys) || typeof nextCursor !== 'string') return;
  const [path, query] = request.url.split('?', 2) as [string, string | undefined];
  const parameters = new URLSearchParams(query);
  parameters.set('cursor', nextCursor);
  reply.header('link', `<${path}?${parameters.toString()}>; rel="next"`);
}

/** Probes and pages of the documentation are not worth a line each. */
const QUIET = /^\/(health|metrics|docs|openapi\.json)/;
const PUBLISHING = /^\/v1\/events(\/batch)?$/;

function handled(request: FastifyRequest, reply: FastifyReply, { logger, metrics }: HookParts): void {
  const { method } = request;
  const route = request.routeOptions.url ?? 'unmatched';
  const status = reply.statusCode;
  metrics.requestSeconds.observe({ method, route, status }, reply.elapsedTime / 1000);
  // An accepted publication writes a line of its own, event.accepted.
  if (method === 'POST' && PUBLISHING.test(route) && status < 300) return;
  const fields = {
    method,
    route,
    status,
    ms: Math.round(reply.elapsedTime * 10) / 10,
    requestId: request.id,
    keyId: request.caller?.keyId,
    code: request.problemCode,
    policy: request.limitedBy,
  };
  if (QUIET.test(route)) logger.debug(fields, 'request.handled');
  else logger.info(fields, 'request.handled');
}
