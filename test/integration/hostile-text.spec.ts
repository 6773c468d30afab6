/**
 * What a receiver says is shown as text and is nothing else, and no line of a log repeats it. Of an address that is not dialled
 * nothing is shown. Real: api, worker, PostgreSQL, a receiver on the level of sockets.
 */
import net from 'node:net';
import { createLogger, Metrics } from '@app/observability';
import type { Database } from '@app/persistence';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Worker } from '../../apps/worker/src/worker.js';
import { openDatabase } from '../support/fixtures.js';
import { configFor, startApi, type ApiFixture } from './api-fixture.js';

const BODY =
  '\u001b[31mred\u001b[0m\r\n{"level":"error"}\r\n<script>alert(1)</script>\u2028=cmd|"/c calc"!A1\0';
const ANSWER = Buffer.concat([
  Buffer.from(
    'HTTP/1.1 500 <script>\r\nx-html: <img src=x onerror=alert(1)>\r\nx-latin: M\xfcller\r\n' +
      'set-cookie: session=hunter2\r\ncontent-type: text/html\r\nlocation: http://169.254.169.254/\r\n' +
      `connection: close\r\ncontent-length: ${Buffer.byteLength(BODY)}\r\n\r\n`,
    'latin1',
  ),
  Buffer.from(BODY),
]);
const PATIENCE_MS = 8000;

let fixture: ApiFixture;
let database: Database;
let worker: Worker;
let server: net.Server;
const lines: string[] = [];

beforeAll(async () => {
  server = net.createServer((socket) => {
    socket.on('error', () => {}).on('data', () => socket.end(ANSWER));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // What the api lets be saved its worker does not dial: as after an operator's change of mind.
  fixture = await startApi({ POSTHORN_ALLOW_CIDRS: '127.0.0.0/8,10.9.0.0/16' });
  database = await openDatabase(fixture.databaseUrl);
  const config = { ...configFor(fixture.databaseUrl), DATABASE_URL: fixture.databaseUrl };
  const logger = createLogger({ level: 'info', process: 'worker' });
  for (const level of ['info', 'warn', 'error'] as const)
    logger[level] = (...line: unknown[]) => void lines.push(JSON.stringify(line));
  worker = new Worker(config, 'test', database, new Metrics(), logger);
  await worker.start();
  await fixture.call('POST', '/v1/subscribers', { name: 'Acme', externalId: 'acme' });
});
afterAll(async () => {
  await worker?.stop();
  await database?.close();
  await fixture?.stop();
  await new Promise((resolve) => server.close(resolve));
});

/** The answer to the question for a delivery, when a test event to this URL is over. */
async function tested(url: string) {
  const endpoint = await fixture.call('POST', '/v1/subscribers/acme/endpoints', { url });
  const test = await fixture.call('POST', `/v1/subscribers/acme/endpoints/${endpoint.body.id}/test`, {});
  for (const deadline = performance.now() + PATIENCE_MS; ;) {
    const reply = await fixture.call('GET', `/v1/deliveries/${test.body.delivery}`);
    if (reply.body.status === 'failed') return reply;
    if (performance.now() > deadline) throw new Error(reply.text);
    await new Promise((next) => setTimeout(next, 20));
  }
}

it('markup, escapes, line breaks and NUL are text in JSON that no browser takes for anything else', async () => {
  const { headers, body } = await tested(`http://127.0.0.1:${(server.address() as net.AddressInfo).port}/x`);
  expect(headers.get('content-type')).toMatch(/^application\/json/);
  expect(headers.get('x-content-type-options')).toBe('nosniff');
  const [attempt] = body.timeline;
  expect(attempt).toMatchObject({ statusCode: 500, failure: 'http_5xx' });
  expect(attempt.response).toMatchObject({ encoding: 'utf8', body: BODY.replace('\0', '\u2400') });
  expect(attempt.response.headers).toMatchObject({
    'x-html': '<img src=x onerror=alert(1)>',
    'set-cookie': '[redacted]',
    location: 'http://169.254.169.254/',
  });
  expect(attempt.response.headers['x-latin']).toBe('Müller');
  expect(JSON.stringify(body)).not.toContain('hunter2');
});

it('a log line says nothing of it', () => {
  expect(lines.filter((line) => line.includes('delivery.attempted'))).toHaveLength(1);
  for (const said of ['alert', 'calc', 'hunter2', 'onerror', '\\u001b', '169.254'])
    expect(lines.filter((line) => line.includes(said))).toEqual([]);
});

it('of an address that is not dialled there is no answer, no address and no time to learn from', async () => {
  const { body } = await tested('http://10.9.8.7/x');
  const [attempt] = body.timeline;
  expect(attempt).toMatchObject({
    failure: 'blocked_address',
    statusCode: null,
    response: null,
    remoteAddress: null,
  });
  expect(attempt.timings).toMatchObject({ dnsMs: null, connectMs: null, tlsMs: null, firstByteMs: null });
});
