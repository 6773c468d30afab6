import { once } from 'node:events';
import net from 'node:net';
import { Metrics, ScraperKey } from '@app/observability';
import { afterEach, expect, it } from 'vitest';
import { serveHealth } from './serve-health.js';

let server: Awaited<ReturnType<typeof serveHealth>>;
afterEach(() => server.close());

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
