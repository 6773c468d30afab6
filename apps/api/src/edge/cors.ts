import type { FastifyReply, FastifyRequest } from 'fastify';
import { KEYED_PREFIX } from './api-key.guard.js';
import type { RouteTable } from './route-table.js';

const ALLOWED_HEADERS = 'authorization, content-type, idempotency-key, traceparent, x-request-id';
const EXPOSED_HEADERS =
  'idempotency-replayed, link, ratelimit, ratelimit-policy, retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, x-request-id';
// A change of the configuration is felt by open pages within ten minutes.
const PREFLIGHT_SECONDS = '600';

/**
 * Lets pages of the named origins call the API. Keys travel in a header that a page must hold itself, so no credentials
 * are allowed: a browser adds nothing of its own.
 */
export class Cors {
  private readonly origins: ReadonlySet<string>;

  constructor(
    origins: readonly string[],
    private readonly routes: RouteTable,
  ) {
    this.origins = new Set(origins);
  }

  /** Answers whether this was a preflight and is done. Others get the headers that their page needs. */
  handle(request: FastifyRequest, reply: FastifyReply): boolean {
    if (this.origins.size === 0 || !request.url.startsWith(KEYED_PREFIX)) return false;
    // Also for those without an origin: a cache must not give them another's answer.
    reply.header('vary', 'origin');
    const { origin } = request.headers;
    if (origin === undefined || !this.origins.has(origin)) return false;
    reply.header('access-control-allow-origin', origin);
    if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined) {
      reply.header('access-control-expose-headers', EXPOSED_HEADERS);
      return false;
    }
    const methods = this.routes.allowed(request.url);
    // Of a path that does not exist the page learns so by asking for it.
    if (methods.length === 0) return false;
    reply.headers({
      'access-control-allow-methods': methods.join(', '),
      'access-control-allow-headers': ALLOWED_HEADERS,
      'access-control-max-age': PREFLIGHT_SECONDS,
    });
    void reply.code(204).send();
    return true;
  }
}
