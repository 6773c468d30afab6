import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { seededRandom, type Random } from '../../../libs/domain/src/index.js';

/** A request whose body is in, on its way to an answer. */
export interface Hit {
  /** Without the query. Its first segment chooses the behaviour, and the whole of it whose counters are used. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly webhookId: string;
  readonly response: ServerResponse;
}

type Behaviour = (hit: Hit, argument: string | undefined) => string;

// No test waits so long; a forgotten drip must end some time.
const ENDLESS_MS = 10 * 60_000;

/**
 * What each path does. Further segments tell endpoints apart: `/fail-every/3/a` and `/fail-every/3/b` count for themselves.
 */
export class Behaviours {
  private readonly counts = new Map<string, number>();
  private readonly random: Random;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  /** Answers, and tells what it did: a status, or the name of something worse. */
  answer(hit: Hit): string {
    const [, name = '', argument] = hit.path.split('/');
    const behaviour = this.table[name];
    if (behaviour !== undefined) return behaviour(hit, argument);
    if (/^[2-5]\d\d$/.test(name)) return reply(hit, Number(name));
    return reply(hit, 404, `The receiver has no behaviour ${name}`);
  }

  private readonly table: Record<string, Behaviour> = {
    ok: (hit) => reply(hit, 200),
    status: (hit, status) => reply(hit, wholeNumber(status, 200, 599)),
    302: (hit) => reply(hit, 302, '', { location: hit.query.get('to') ?? '/ok' }),
    429: (hit, seconds = '1') => reply(hit, 429, '', { 'retry-after': seconds }),

    /** Fails with probability p, the same way in each run with the same seed and order. */
    flaky: (hit, p) => reply(hit, this.random.next() < Number(p) ? 500 : 200),
    /** The same, after so many milliseconds. */
    'flaky-slow': (hit, p) => {
      const status = this.random.next() < Number(p) ? 500 : 200;
      after(hit, wholeNumber(hit.path.split('/')[3], 0), () => reply(hit, status));
      return String(status);
    },
    /** Requests n, 2n, 3n … of this path fail. */
    'fail-every': (hit, n) => reply(hit, this.count(hit.path) % wholeNumber(n, 1) === 0 ? 500 : 200),
    /** Each event fails n times, then succeeds. */
    'fail-first': (hit, n) =>
      reply(hit, this.count(`${hit.path} ${hit.webhookId}`) <= wholeNumber(n, 0) ? 500 : 200),

    slow: (hit, ms) => (after(hit, wholeNumber(ms, 0), () => reply(hit, 200)), 'slow'),
    hang: () => 'hang',
    /** A head at once, then a byte every half second (or every :ms). */
    drip: (hit, ms = '500') => {
      hit.response.writeHead(200, { 'content-type': 'text/plain' }).flushHeaders();
      every(hit, wholeNumber(ms, 1), () => hit.response.write('.'));
      return 'drip';
    },
    /** Informational answers without end: they keep a timeout on headers from firing. */
    '1xx': (hit) => {
      every(hit, 100, () => hit.response.socket?.write('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'));
      return '1xx';
    },
    rst: (hit) => {
      hit.response.socket?.resetAndDestroy();
      return 'rst';
    },
    'close-mid-body': (hit) => {
      hit.response.writeHead(200, { 'content-length': '100' });
      hit.response.write('only this', () => hit.response.socket?.end());
      return 'close-mid-body';
    },

    big: (hit, bytes) => {
      const length = wholeNumber(bytes, 0, 2 ** 31);
      hit.response.writeHead(200, { 'content-length': length });
      pour(hit.response, length);
      return '200';
    },
    gzipbomb: (hit) => reply(hit, 200, gzipSync(Buffer.alloc(50_000_000)), { 'content-encoding': 'gzip' }),
    /** A NUL, which text in PostgreSQL cannot hold, and bytes that are no UTF-8. */
    nul: (hit) => reply(hit, 200, Buffer.from([0x61, 0x00, 0x62, 0xff, 0xfe, 0xc3, 0x28])),
    /** More than a sender takes (16 KiB). */
    'headers-big': (hit) => reply(hit, 200, 'ok', { 'x-big': 'x'.repeat(17 * 1024) }),
  };

  private count(key: string): number {
    const count = (this.counts.get(key) ?? 0) + 1;
    this.counts.set(key, count);
    return count;
  }

  reset(): void {
    this.counts.clear();
  }
}

function reply(
  { response }: Hit,
  status: number,
  body: string | Buffer = status === 204 || status === 304 ? '' : 'ok',
  headers: Record<string, string> = {},
): string {
  response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers }).end(body);
  return String(status);
}

/** Stops when the sender goes away, or after ten minutes. */
function every(hit: Hit, ms: number, step: () => void): void {
  const timer = setInterval(step, ms);
  after(hit, ENDLESS_MS, () => hit.response.destroy());
  hit.response.once('close', () => clearInterval(timer));
}

function after({ response }: Hit, ms: number, step: () => void): void {
  const timer = setTimeout(step, ms);
  response.once('close', () => clearTimeout(timer));
}

function pour(response: ServerResponse, bytesLeft: number): void {
  const chunk = Buffer.alloc(64 * 1024, 'x');
  while (bytesLeft > 0) {
    const part = bytesLeft < chunk.length ? chunk.subarray(0, bytesLeft) : chunk;
    bytesLeft -= part.length;
    if (!response.write(part)) {
      response.once('drain', () => pour(response, bytesLeft));
      return;
    }
  }
  response.end();
}

/** Throws for anything else: a typing error in a test's URL should not become a behaviour. */
function wholeNumber(text: string | undefined, min: number, max = Number.MAX_SAFE_INTEGER): number {
  const value = Number(text);
  if (text === undefined || !Number.isSafeInteger(value) || value < min || value > max) {
    throw new Error(`a whole number from ${min} to ${max} is missing in the path, it has ${String(text)}`);
  }
  return value;
}
