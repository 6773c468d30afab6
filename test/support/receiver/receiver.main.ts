import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serveCalls } from '../child.js';
import { monotonicMs } from '../monotonic.js';
import { Behaviours, type Hit } from './behaviours.js';
import { Journal, Tally } from './journal.js';

export type ReceiverMode = 'journal' | 'count';

const mode = process.argv[2] as ReceiverMode;
const behaviours = new Behaviours(Number(process.argv[3]));
const journal = new Journal();
const tally = new Tally();

// To a sender each port is a host of its own, and ten customers are ten hosts.
const HOSTS = mode === 'count' ? 10 : 1;

/** Listens on a port of its own; answers which. */
async function listen(): Promise<number> {
  const server = createServer(
    { maxHeaderSize: 256 * 1024 },
    mode === 'count' ? countAndAnswer : recordAndAnswer,
  );
  // Below it a sender may take a connection that we are about to close, which would look like a fault of the sender.
  server.keepAliveTimeout = 120_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4096, resolve));
  return (server.address() as AddressInfo).port;
}

function countAndAnswer(request: IncomingMessage, response: ServerResponse): void {
  const atMs = monotonicMs();
  let bodyBytes = 0;
  request.on('data', (chunk: Buffer) => (bodyBytes += chunk.length));
  request.on('end', () => {
    tally.add(request, bodyBytes, atMs);
    answer(request, response);
  });
}

function recordAndAnswer(request: IncomingMessage, response: ServerResponse): void {
  const at = { epochMs: Date.now(), monotonicMs: monotonicMs() };
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => record(true, answer(request, response)));
  request.on('close', () => request.complete || record(false, 'none'));

  function record(complete: boolean, answered: string): void {
    const { method = '', url: path = '', headers } = request;
    journal.add({ method, path, headers, body: Buffer.concat(chunks), complete, answer: answered, ...at });
  }
}

function answer(request: IncomingMessage, response: ServerResponse): string {
  try {
    return behaviours.answer(hitOf(request, response));
  } catch (error) {
    response.writeHead(501).end(String(error));
    return '501';
  }
}

function hitOf(request: IncomingMessage, response: ServerResponse): Hit {
  const [path = '', query] = request.url!.split('?', 2);
  const webhookId = (request.headers['webhook-id'] as string | undefined) ?? '';
  return { path, query: new URLSearchParams(query), webhookId, response };
}

const calls = {
  ports: () => ports,
  entriesAfter: ({ n, wait }: { n: number; wait: boolean }) => journal.after(n, wait),
  counts: () => tally.counts,
  reached: (distinct: number) => tally.reached(distinct),
  arrivals: () => tally.arrivals(),
  reset: () => {
    journal.reset();
    tally.reset();
    behaviours.reset();
  },
};
export type ReceiverCalls = typeof calls;

const ports = await Promise.all(Array.from({ length: HOSTS }, listen));
serveCalls(calls);
