import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import {
  ERRORS,
  HEADERS_SECONDS_MAX,
  KEEP_ALIVE_SECONDS,
  REQUEST_SECONDS_MAX,
  type ErrorCode,
} from '@app/contracts';
import { SharedQuestion, type Metrics, type ScraperKey } from '@app/observability';
import type { Database } from '@app/persistence';

// An orchestrator, a scraper or two, somebody who looks: a tenth of it. What forgets its connections must not take the worker's
// descriptors, which are for receivers.
export const HEALTH_CONNECTIONS_MAX = 100;
// Over one connection, which may ask without waiting for answers; what it asks after these is a 503.
export const HEALTH_REQUESTS_MAX = 100;

/** How long whoever asks may take. A test shortens it. */
export interface HealthTimes {
  headersMs: number;
  requestMs: number;
  keepAliveMs: number;
  /** For an answer of which nothing moves: it waits for the database, or is not read. */
  stillMs: number;
  /** For the database to say something; SharedQuestion's own when absent. */
  databaseMs?: number;
}

const TIMES: HealthTimes = {
  headersMs: HEADERS_SECONDS_MAX * 1000,
  requestMs: REQUEST_SECONDS_MAX * 1000,
  keepAliveMs: KEEP_ALIVE_SECONDS * 1000,
  stillMs: REQUEST_SECONDS_MAX * 1000,
};
// How late who asks slowly may be cut. Node's own is half a minute.
const LOOKED_FOR_EVERY_MS = 1000;

interface Answer {
  status: number;
  type: string;
  text: string;
}

const READY = json(200, { status: 'ok', database: 'up' });
const NOT_READY = json(503, { status: 'error', database: 'down' });

/**
 * For the orchestrator and the scraper; it tells nothing about any customer. Node's own server, because Nest and Fastify for
 * three routes were 11 MB of a worker's heap, looked through in each collection, and 0.3 s of CPU of its start.
 */
export async function serveHealth(
  database: Pick<Database, 'query'>,
  metrics: Pick<Metrics, 'registry'>,
  key: ScraperKey,
  at: { host: string; port: number },
  times: HealthTimes = TIMES,
): Promise<{ port: number; close(): Promise<void> }> {
  // As the api's: who asks slowly is cut, and nothing of an answer is for a browser.
  const bounds = {
    headersTimeout: times.headersMs,
    requestTimeout: times.requestMs,
    keepAliveTimeout: times.keepAliveMs,
    connectionsCheckingInterval: Math.min(LOOKED_FOR_EVERY_MS, times.headersMs / 4),
  };
  const server = createServer(bounds, (request, response) => void answer(request, response));
  server.timeout = times.stillMs;
  server.maxRequestsPerSocket = HEALTH_REQUESTS_MAX;
  boundConnections(server, HEALTH_CONNECTIONS_MAX);
  // Its connections are for deliveries.
  const readiness = new SharedQuestion(
    () =>
      database.query('SELECT 1 FROM pgboss.queue LIMIT 1').then(
        () => READY,
        () => NOT_READY,
      ),
    () => NOT_READY,
    times.databaseMs,
  );

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
        return readiness.ask();
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

/**
 * Whoever comes finds room: the connection that has asked nothing for longest goes for it. Refusing who comes last would let a
 * hundred idle connections have a healthy worker ended by its orchestrator. Only behind a hundred whose answers are on their
 * way it goes itself.
 */
function boundConnections(server: Server, max: number): void {
  /** The requests of each that are being answered; first the one that has had none for longest. */
  const open = new Map<Socket, number>();
  server.on('connection', (socket: Socket) => {
    open.set(socket, 0);
    socket.once('close', () => open.delete(socket));
    if (open.size <= max) return;
    for (const [idle, requests] of open) {
      if (requests > 0) continue;
      // Now, and not when its end has come through: by then there may be more.
      open.delete(idle);
      return void idle.destroy();
    }
  });
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    open.set(socket, (open.get(socket) ?? 0) + 1);
    response.once('close', () => {
      const requests = open.get(socket);
      if (requests === undefined) return;
      open.delete(socket);
      open.set(socket, requests - 1);
    });
  });
}

function json(status: number, body: object): Answer {
  return { status, type: 'application/json; charset=utf-8', text: JSON.stringify(body) };
}

function problem(code: ErrorCode): Answer {
  const { status, title } = ERRORS[code];
  const text = JSON.stringify({ type: `urn:posthorn:problem:${code}`, title, status, code });
  return { status, type: 'application/problem+json', text };
}
