import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import {
  CONNECTIONS_MAX,
  HEADERS_BYTES_MAX,
  HEADERS_SECONDS_MAX,
  KEEP_ALIVE_SECONDS,
  Problem,
  REQUEST_SECONDS_MAX,
  type ErrorCode,
} from '@app/contracts';
import type { FastifyInstance } from 'fastify';
import { problemText } from './problem.filter.js';
import { securityHeaders } from './security-headers.js';

/** How long a client may take. A test shortens it. */
export interface ServerTimes {
  headersMs: number;
  requestMs: number;
  keepAliveMs: number;
}

const TIMES: ServerTimes = {
  headersMs: HEADERS_SECONDS_MAX * 1000,
  requestMs: REQUEST_SECONDS_MAX * 1000,
  keepAliveMs: KEEP_ALIVE_SECONDS * 1000,
};
// How late a slow client may be cut; looking costs a walk over the open connections.
const LOOKED_FOR_EVERY_MS = 1000;

/** The bounds of an HTTP server of ours: what Node itself enforces, before there is a request to speak of. */
export function serverOptions(times: ServerTimes = TIMES, onRefused: (code: ErrorCode) => void = () => {}) {
  return {
    requestTimeout: times.requestMs,
    keepAliveTimeout: times.keepAliveMs,
    http: {
      headersTimeout: times.headersMs,
      requestTimeout: times.requestMs,
      maxHeaderSize: HEADERS_BYTES_MAX,
      connectionsCheckingInterval: Math.min(LOOKED_FOR_EVERY_MS, times.headersMs / 4),
    },
    clientErrorHandler: (error: NodeJS.ErrnoException, socket: Socket) => refuse(error, socket, onRefused),
  };
}

/** One process has so many connections at most; those beyond are closed at once, before they cost anything. */
export function boundConnections(fastify: FastifyInstance, max = CONNECTIONS_MAX): void {
  fastify.server.maxConnections = max;
}

/** What never became a request: too slow, too large or no HTTP. Written by hand, because there is no reply to use. */
function refuse(error: NodeJS.ErrnoException, socket: Socket, onRefused: (code: ErrorCode) => void): void {
  // Somebody who hung up reads no answer; one that has begun must not be mixed with another.
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable || hasBegun(socket)) {
    socket.destroy();
    return;
  }
  const problem = problemOf(error.code);
  onRefused(problem.code);
  const requestId = randomUUID();
  const body = problemText(problem, '/', requestId);
  const headers = {
    'x-request-id': requestId,
    ...securityHeaders('', false),
    'content-type': 'application/problem+json',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${problem.status} ${REASONS[problem.status]}\r\n${lines.join('')}\r\n${body}`, () =>
    socket.destroy(),
  );
}

const REASONS: Record<number, string> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
};

function problemOf(code: string | undefined): Problem {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new Problem(
        'request_timeout',
        `A request must be here within ${REQUEST_SECONDS_MAX} s, its headers within ${HEADERS_SECONDS_MAX} s.`,
      );
    case 'HPE_HEADER_OVERFLOW':
      return new Problem('headers_too_large', `URL and headers have at most ${HEADERS_BYTES_MAX} bytes.`, {
        limit: HEADERS_BYTES_MAX,
      });
    default:
      return new Problem('invalid_request', 'This is not HTTP.');
  }
}

/** Whether an answer is on its way over this connection. */
function hasBegun(socket: Socket): boolean {
  return (socket as Socket & { _httpMessage?: { headersSent: boolean } })._httpMessage?.headersSent === true;
}
