import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { EventEmitter, once } from 'node:events';
import net from 'node:net';
import { Metrics, ScraperKey } from '@app/observability';
import { afterEach, expect, it } from 'vitest';
import { HEALTH_CONNECTIONS_MAX, HEALTH_REQUESTS_MAX, serveHealth } from './serve-health.js';

let server: Awaited<ReturnType<typeof serveHealth>>;
afterEach(() => server.close());

const PATIENT = { headersMs: 60_000, requestMs: 60_000, keepAliveMs: 60_000, stillMs: 60_000 };
const metrics = new Metrics();
let isUp = true;
const database = {
  query: async () => {
    if (!isUp) throw new Error('ECONNREFUSED');
    return [];
  },
};
async function serve(
  key: string | null = null,
): Promise<(path: string, init?: RequestInit) => Promise<Response>> {
  server = await serveHealth(database, metrics, new ScraperKey(key), { host: '127.0.0.1', port: 0 });
  return (path, init) => fetch(`http://127.0.0.1:${server.port}${path}`, init);
}

it('lives while it answers, and is ready while the database is up', async () => {
  const ask = await serve();
  const live = await ask('/health/live?probe=1');
  expect([live.status, await live.json()]).toEqual([200, { status: 'ok' }]);
  const ready = await ask('/health/ready');
  expect([ready.status, await ready.json()]).toEqual([200, { status: 'ok', database: 'up' }]);
  isUp = false;
  const down = await ask('/health/ready');
  expect([down.status, await down.json()]).toEqual([503, { status: 'error', database: 'down' }]);
  isUp = true;
});

it('shows the metrics to who has the key, where there is one', async () => {
  expect((await (await serve())('/metrics')).headers.get('content-type')).toBe(
    'text/plain; version=0.0.4; charset=utf-8',
  );
  await server.close();
  const ask = await serve('k'.repeat(32));
  const refused = await ask('/metrics');
  expect([refused.status, refused.headers.get('content-type')]).toEqual([401, 'application/problem+json']);
  expect(await refused.json()).toMatchObject({ code: 'unauthenticated', status: 401 });
  const shown = await ask('/metrics', { headers: { authorization: `Bearer ${'k'.repeat(32)}` } });
  expect(await shown.text()).toContain('posthorn_claimed');
});

it('has no other route, and nothing of an answer is for a browser', async () => {
  const ask = await serve();
  for (const [path, method, status] of [
    ['/', 'GET', 404],
    ['//', 'GET', 404],
    ['/health/live', 'POST', 404],
    ['/health/live', 'HEAD', 200],
  ] as const) {
    const answer = await ask(path, { method });
    expect([path, method, answer.status]).toEqual([path, method, status]);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    });
  }
});

it('says soon that it is not ready when the database does not answer, and asks it nothing more meanwhile', async () => {
  let queries = 0;
  let answer = Promise.withResolvers<never[]>();
  const hangs = { query: () => (queries++, answer.promise) };
  const times = { ...PATIENT, databaseMs: 50 };
  server = await serveHealth(hangs, metrics, new ScraperKey(null), { host: '127.0.0.1', port: 0 }, times);
  const ask = async () => {
    const answered = await fetch(`http://127.0.0.1:${server.port}/health/ready`);
    return [answered.status, await answered.json()];
  };
  const notReady = [503, { status: 'error', database: 'down' }];
  expect(await Promise.all([ask(), ask(), ask()])).toEqual([notReady, notReady, notReady]);
  expect(await ask()).toEqual(notReady);
  expect(queries).toBe(1);
  answer.resolve([]);
  answer = Promise.withResolvers();
  answer.resolve([]);
  expect(await ask()).toEqual([200, { status: 'ok', database: 'up' }]);
  expect(queries).toBe(2);
});

it('says so when its port is taken', async () => {
  await serve();
  await expect(
    serveHealth(database, metrics, new ScraperKey(null), { host: '127.0.0.1', port: server.port }),
  ).rejects.toMatchObject({ code: 'EADDRINUSE' });
});

it.each([
  ['half a question', 'GET /health/live HTTP/1.1\r\nhost:'],
  ['a question whose answer waits for the database', 'GET /health/ready HTTP/1.1\r\nhost: a\r\n\r\n'],
])('closes at once beside %s', async (_what, asked) => {
  const began = Promise.withResolvers<void>();
  const hanging = { query: () => (began.resolve(), new Promise<never>(() => {})) };
  server = await serveHealth(hanging, metrics, new ScraperKey(null), { host: '127.0.0.1', port: 0 });
  const socket = net.connect(server.port, '127.0.0.1', () => socket.write(asked));
  socket.on('error', () => {}).resume();
  // The server has read it: of half a question it says nothing, so what was asked on another connection comes after it.
  await (asked.endsWith('\r\n\r\n') ? began.promise : fetch(`http://127.0.0.1:${server.port}/health/live`));
  const closed = once(socket, 'close');
  await server.close();
  await closed;
});

/** Opens `n` connections, one after the other, has each say `text`, and tells how many are open and what they were told. */
async function flood(n: number, text: string) {
  const told = Array.from({ length: n }, () => '');
  const changed = new EventEmitter();
  let open = n;
  for (let i = 0; i < n; i++) {
    const socket = net.connect(server.port, '127.0.0.1');
    socket.on('error', () => {}).once('close', () => (open--, changed.emit('change')));
    socket.on('data', (chunk: Buffer) => ((told[i] += String(chunk)), changed.emit('change')));
    await once(socket, 'connect');
    if (text !== '') socket.write(text);
  }
  const until = async (condition: () => boolean) => {
    while (!condition()) await once(changed, 'change');
  };
  return { open: () => open, told, until };
}

it.each([
  ['nothing', ''],
  ['half a question', 'GET /health/live HTTP/1.1\r\nhost:'],
  ['a question, and stay', 'GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n'],
])(
  'answers behind connections without end that say %s: those that have been idle for longest go',
  async (_what, text) => {
    const ask = await serve();
    const { open, until } = await flood(HEALTH_CONNECTIONS_MAX * 3, text);
    const began = performance.now();
    expect((await ask('/health/live')).status).toBe(200);
    await until(() => open() <= HEALTH_CONNECTIONS_MAX);
    expect(performance.now() - began).toBeLessThan(5000); // and not when their time is over
  },
);

it('ends nobody whose answer is on its way; with as many of those as may be, the next one goes itself', async () => {
  const answered = Promise.withResolvers<never[]>();
  let queries = 0;
  const slow = { query: () => (queries++, answered.promise) };
  const times = { ...PATIENT, databaseMs: 600_000 };
  server = await serveHealth(slow, metrics, new ScraperKey(null), { host: '127.0.0.1', port: 0 }, times);
  // The answer to the first says that the second is known.
  const questions = ['live', 'ready']
    .map((what) => `GET /health/${what} HTTP/1.1\r\nhost: a\r\n\r\n`)
    .join('');
  const asking = async (n: number) => {
    const some = await flood(n, questions);
    await some.until(() => some.told.every((text) => text.includes('"ok"')));
    return some;
  };
  const waiting = await asking(HEALTH_CONNECTIONS_MAX - 1);
  const idle = await flood(HEALTH_CONNECTIONS_MAX, '');
  await idle.until(() => idle.open() === 1);
  const last = await asking(1);
  await idle.until(() => idle.open() === 0);
  const beyond = await flood(1, '');
  await beyond.until(() => beyond.open() === 0);
  answered.resolve([]);
  for (const { told, until } of [waiting, last])
    await until(() => told.every((text) => text.includes('"database":"up"')));
  expect(queries).toBe(1); // and not as many of the pool's connections
});

it('answers a hundred questions of one connection', async () => {
  await serve();
  const { told, until } = await flood(
    1,
    'GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(2 * HEALTH_REQUESTS_MAX),
  );
  const answers = () => told[0].match(/HTTP\/1.1 \d+/g) ?? [];
  await until(() => answers().length === 2 * HEALTH_REQUESTS_MAX);
  expect(answers().filter((answer) => answer.endsWith('200'))).toHaveLength(HEALTH_REQUESTS_MAX);
});

it.each([
  ['says nothing', ''],
  ['asks half a question', 'GET /metrics HTTP/1.1\r\nhost:'],
  ['reads no answer', 'GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n'],
  ['has asked, and stays', 'GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n'],
])('ends a connection that %s, when its time is over', async (_what, text) => {
  const times = { headersMs: 200, requestMs: 200, keepAliveMs: 200, stillMs: 400 };
  const endless = 'x'.repeat(32 * 2 ** 20); // more than a kernel keeps for who does not read
  const registry = { contentType: 'text/plain', metrics: () => Promise.resolve(endless) };
  const large = { registry: registry as unknown as Metrics['registry'] };
  server = await serveHealth(database, large, new ScraperKey(null), { host: '127.0.0.1', port: 0 }, times);
  // Seen from the server's side: who reads nothing does not see an end.
  const known = Promise.withResolvers<net.Socket>();
  const onSocket = (message: unknown) => known.resolve((message as { socket: net.Socket }).socket);
  subscribe('net.server.socket', onSocket);
  const socket = net.connect(server.port, '127.0.0.1', () => socket.write(text));
  socket.on('error', () => {}).pause();
  const theirs = await known.promise;
  unsubscribe('net.server.socket', onSocket);
  if (!theirs.destroyed) await new Promise((resolve) => theirs.once('close', resolve));
  socket.destroy();
});
