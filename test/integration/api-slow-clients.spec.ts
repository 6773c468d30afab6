// Real: the api with its HTTP server and PostgreSQL; clients are sockets that send what they are told, byte by byte.
// Only the times are shorter than those in limits.ts.
import { once } from 'node:events';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { HEADERS_BYTES_MAX, REQUEST_HEADERS_MAX, REQUEST_URL_LENGTH_MAX } from '@app/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_KEY, startApi, type ApiFixture } from './api-fixture.js';

const TIMES = { headersMs: 400, requestMs: 800, keepAliveMs: 300 };
const DRIP_MS = 20;
let fixture: ApiFixture;
beforeAll(async () => void (fixture = await startApi({ POSTHORN_RATE_LIMIT_KEY: '0' }, { times: TIMES })));
afterAll(() => fixture?.stop());

interface Heard {
  status: number;
  head: string;
  // oxlint-disable-next-line no-explicit-any
  body: any;
  ms: number;
}

/** Sends `first` at once and `rest` a byte at a time, and hears until the other side hangs up. */
async function say(first: string | Buffer, rest = ''): Promise<Heard> {
  const socket = connect(fixture.api.port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  // One that is cut may break under our next byte.
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  const since = performance.now();
  socket.write(first);
  let at = 0;
  const drip = setInterval(() => {
    if (at < rest.length && socket.writable) socket.write(rest[at++]);
  }, DRIP_MS);
  // Not `once`: that ends with an error, and the answer may still be unread then.
  await new Promise((resolve) => socket.once('close', resolve));
  clearInterval(drip);
  const [head, ...body] = Buffer.concat(chunks).toString().split('\r\n\r\n');
  return {
    status: Number(head.split(' ')[1]),
    head: head.toLowerCase(),
    body: body[0] ? JSON.parse(body[0]) : undefined,
    ms: performance.now() - since,
  };
}

const request = (line: string, headers: Record<string, string | number> = {}) =>
  [
    `${line} HTTP/1.1`,
    'host: x',
    `authorization: Bearer ${ADMIN_KEY}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    '\r\n',
  ].join('\r\n');
const upload = (length: number, more: Record<string, string> = {}) =>
  request('POST /v1/subscribers', { 'content-type': 'application/json', 'content-length': length, ...more });

describe('a client that takes its time', () => {
  it('with its headers is told so and cut', async () => {
    const heard = await say('GET /health/live HTTP/1.1\r\nhost: x\r\n', `x-slow: ${'a'.repeat(500)}`);
    expect(heard).toMatchObject({ status: 408, body: { code: 'request_timeout', status: 408 } });
    expect(heard.head).toMatch(/content-type: application\/problem\+json/);
    expect(heard.head).toMatch(/x-content-type-options: nosniff[^]*connection: close/);
    expect((await fixture.call('GET', '/metrics')).text).toContain(
      'posthorn_connections_refused_total{code="request_timeout"} 1',
    );
    expect(heard.ms).toBeGreaterThan(TIMES.headersMs * 0.9);
    expect(heard.ms).toBeLessThan(TIMES.headersMs * 5);
  });

  it('with its body is told so and cut, however steadily it sends', async () => {
    const body = JSON.stringify({ name: 'x'.repeat(1000) });
    const heard = await say(upload(body.length), body);
    expect(heard).toMatchObject({ status: 408, body: { code: 'request_timeout' } });
    expect(heard.ms).toBeGreaterThan(TIMES.requestMs * 0.9);
    expect(heard.ms).toBeLessThan(TIMES.requestMs * 5);
    // Nothing of it was done.
    const { body: list } = await fixture.call('GET', '/v1/subscribers');
    expect(list.data).toEqual([]);
    // It is nobody's fault but the client's.
    expect(fixture.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  it('holds nobody up: between a hundred slow uploads another is served as ever', async () => {
    const body = JSON.stringify({ name: 'x'.repeat(1000) });
    const slow = Array.from({ length: 100 }, () => say(upload(body.length), body));
    let served = 0;
    let allCut = false;
    const cut = Promise.all(slow).then((all) => ((allCut = true), all));
    while (!allCut) {
      expect((await fixture.call('GET', '/v1/subscribers')).status).toBe(200);
      served++;
    }
    expect((await cut).map(({ status }) => status)).toEqual(slow.map(() => 408));
    // One that had to wait for them would be the only one, or none.
    expect(served).toBeGreaterThan(3);
    await expect.poll(() => connections()).toBeLessThan(20);
  });

  it('between two requests is hung up on', async () => {
    const heard = await say(request('GET /health/live'));
    expect(heard).toMatchObject({ status: 200 });
    expect(heard.ms).toBeLessThan(TIMES.keepAliveMs * 5 + 1500);
  });
});

describe('a client that sends too much', () => {
  it('of a body without a key is refused before it has sent any of it', async () => {
    const headers = upload(4_000_000)
      .replace(ADMIN_KEY, 'wrong')
      .replace('host: x', 'host: x\r\nconnection: close');
    expect(await say(headers)).toMatchObject({ status: 401, body: { code: 'unauthenticated' } });
  });

  it.each<[string, () => string, number, string, number]>([
    [
      'bytes of headers',
      () => request('GET /v1/subscribers', { connection: 'close', 'x-large': 'x'.repeat(HEADERS_BYTES_MAX) }),
      431,
      'headers_too_large',
      HEADERS_BYTES_MAX,
    ],
    [
      'headers',
      () =>
        request(
          'GET /v1/subscribers',
          Object.fromEntries([
            ['connection', 'close'],
            ...Array.from({ length: REQUEST_HEADERS_MAX }, (_, n) => [`x-${n}`, '1']),
          ]),
        ),
      431,
      'headers_too_large',
      REQUEST_HEADERS_MAX,
    ],
    [
      'URL',
      () => request(`GET /v1/subscribers?x=${'x'.repeat(REQUEST_URL_LENGTH_MAX)}`, { connection: 'close' }),
      414,
      'url_too_long',
      REQUEST_URL_LENGTH_MAX,
    ],
  ])('%s is told the limit', async (_, text, status, code, limit) => {
    expect(await say(text())).toMatchObject({ status, body: { code, limit } });
  });

  it('compressed is refused before it is inflated', async () => {
    // A hundred megabytes in a hundred kilobytes: within the bound of a body as it comes.
    const bomb = gzipSync(Buffer.alloc(100 * 1024 * 1024));
    const before = process.memoryUsage().rss;
    const heard = await say(
      Buffer.concat([
        Buffer.from(upload(bomb.length, { 'content-encoding': 'gzip', connection: 'close' })),
        bomb,
      ]),
    );
    expect(heard).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } });
    expect(process.memoryUsage().rss - before).toBeLessThan(50 * 1024 * 1024);
  });

  it('that is no HTTP gets a problem, too', async () => {
    expect(await say('\x16\x03\x01 hello\r\n\r\n')).toMatchObject({
      status: 400,
      body: { code: 'invalid_request' },
    });
  });
});

function connections(): Promise<number> {
  return new Promise((resolve, reject) =>
    fixture.api.app
      .getHttpServer()
      .getConnections((error: Error | null, count: number) => (error ? reject(error) : resolve(count))),
  );
}
