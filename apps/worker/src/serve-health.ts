import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  ERRORS,
  HEADERS_SECONDS_MAX,
  KEEP_ALIVE_SECONDS,
  REQUEST_SECONDS_MAX,
  type ErrorCode,
} from '@app/contracts';
import type { Metrics, ScraperKey } from '@app/observability';
import type { Database } from '@app/persistence';

// How late who asks slowly may be cut. Node's own is half a minute.
const LOOKED_FOR_EVERY_MS = 1000;

interface Answer {
  status: number;
  type: string;
  text: string;
}

/**
 * For the orchestrator and the scraper; it tells nothing about any customer. Node's own server, because Nest and Fastify for
 * three routes were 11 MB of a worker's heap, looked through in each collection, and 0.3 s of CPU of its start.
 */
export async function serveHealth(
  database: Pick<Database, 'query'>,
  metrics: Pick<Metrics, 'registry'>,
  key: ScraperKey,
  at: { host: string; port: number },
): Promise<{ port: number; close(): Promise<void> }> {
  // As the api's: who asks slowly is cut, and nothing of an answer is for a browser.
  const bounds = {
    headersTimeout: HEADERS_SECONDS_MAX * 1000,
    requestTimeout: REQUEST_SECONDS_MAX * 1000,
    keepAliveTimeout: KEEP_ALIVE_SECONDS * 1000,
    connectionsCheckingInterval: LOOKED_FOR_EVERY_MS,
  };
  const server = createServer(bounds, (request, response) => void answer(request, response));

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, type, text } = await answerTo(request).catch(() => problem('internal_error'));
    response.writeHead(status, {
      'content-type': type,
      'content-length': Buffer.byteLength(text),
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    });
    response.end(text);
  }

  async function answerTo({ method, url = '', headers }: IncomingMessage): Promise<Answer> {
    if (method !== 'GET' && method !== 'HEAD') return problem('not_found');
    switch (url.split('?', 1)[0]) {
      case '/health/live':
        return json(200, { status: 'ok' });
      case '/health/ready':
        return database.query('SELECT 1 FROM pgboss.queue LIMIT 1').then(
          () => json(200, { status: 'ok', database: 'up' }),
          () => json(503, { status: 'error', database: 'down' }),
        );
      case '/metrics':
        if (key.isSet && !key.isIn(headers)) return problem('unauthenticated');
        return { status: 200, type: metrics.registry.contentType, text: await metrics.registry.metrics() };
      default:
        return problem('not_found');
    }
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(at.port, at.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        // Nothing here is worth waiting for, and nobody would cut who has asked half a question: a closed server stops looking.
        server.closeAllConnections();
      }),
  };
}

function json(status: number, body: object): Answer {
  return { status, type: 'application/json; charset=utf-8', text: JSON.stringify(body) };
}

function problem(code: ErrorCode): Answer {
  const { status, title } = ERRORS[code];
  const text = JSON.stringify({ type: `urn:posthorn:problem:${code}`, title, status, code });
  return { status, type: 'application/problem+json', text };
}
