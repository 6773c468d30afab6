import { Problem } from '@app/contracts';
import type { Metrics, ScraperKey } from '@app/observability';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { problemText } from '../edge/problem.filter.js';
import { securityHeaders } from '../edge/security-headers.js';
import { serverOptions } from '../edge/server-options.js';

/** /metrics on a port of its own, which only the scraper's network should reach. */
export async function serveMetrics(
  metrics: Metrics,
  key: ScraperKey,
  at: { host: string; port: number },
): Promise<{ port: number; close(): Promise<void> }> {
  const server = new FastifyAdapter(serverOptions()).getInstance() as FastifyInstance;
  server.addHook('onRequest', async (request, reply) => {
    reply.headers(securityHeaders(request.url, false));
  });
  server.get('/metrics', async (request, reply) => {
    if (key.isSet && !key.isIn(request.headers)) {
      const problem = new Problem('unauthenticated', 'Send POSTHORN_METRICS_KEY as a bearer token.');
      return reply
        .code(problem.status)
        .header('content-type', 'application/problem+json')
        .send(problemText(problem, request.url, request.id));
    }
    return reply.header('content-type', metrics.registry.contentType).send(await metrics.registry.metrics());
  });
  await server.listen(at);
  return { port: (server.server.address() as { port: number }).port, close: () => server.close() };
}
