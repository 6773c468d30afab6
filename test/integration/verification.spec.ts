/**
 * An endpoint with a `verification` gets no event before it has proved that it wants them. Real: api, worker, PostgreSQL, HTTP
 * on loopback. The receiver says what each test has it say.
 *
 *   made        unverified: events are held, and explain, timeline and health say why; tests go out
 *   verify      a wrong answer proves nothing, whatever its status; the right one opens the lane and what was held follows
 *   changed     another URL or another proof: unverified again
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLogger, Metrics } from '@app/observability';
import type { Database } from '@app/persistence';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Worker } from '../../apps/worker/src/worker.js';
import { openDatabase } from '../support/fixtures.js';
import { configFor, startApi, type ApiFixture } from './api-fixture.js';

const ORIGIN = 'posthorn.example.com';
const ENV = { POSTHORN_ORIGIN: ORIGIN, POSTHORN_RATE_LIMIT_TEST: '0' };
const PATIENCE_MS = 8000;

interface Seen {
  method: string;
  path: string;
  headers: http.IncomingHttpHeaders;
  body: string;
}
type Says = (seen: Seen, response: http.ServerResponse) => void;

let fixture: ApiFixture;
let database: Database;
let worker: Worker;
let server: http.Server;
let port: number;
const seen: Seen[] = [];
const says = new Map<string, Says>();
let endpoints: string;

beforeAll(async () => {
  server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const one = { method: request.method!, path: request.url!, headers: request.headers, body };
      seen.push(one);
      (says.get(one.path) ?? ((_seen, it) => it.end()))(one, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
  fixture = await startApi(ENV);
  database = await openDatabase(fixture.databaseUrl);
  const config = { ...configFor(fixture.databaseUrl, ENV), DATABASE_URL: fixture.databaseUrl };
  const logger = createLogger({ level: 'silent', process: 'worker' });
  worker = new Worker(config, 'test', database, new Metrics(), logger);
  await worker.start();
  await call('POST', '/v1/subscribers', { name: 'Acme', externalId: 'acme' });
  await call('POST', '/v1/event-types', { name: 'thing.happened' });
  endpoints = '/v1/subscribers/acme/endpoints';
});
afterAll(async () => {
  await worker?.stop();
  await database?.close();
  await fixture?.stop();
  server?.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function call(method: string, path: string, body?: unknown, status?: number) {
  const reply = await fixture.call(method, path, body);
  if (status === undefined ? reply.status >= 300 : reply.status !== status)
    throw new Error(`${method} ${path}: ${reply.status} ${reply.text}`);
  return reply.body;
}

/** An endpoint whose receiver answers so; its path is its name. */
async function made(name: string, verification: string, answers?: Says, more: object = {}) {
  if (answers) says.set(`/${name}`, answers);
  const url = `http://127.0.0.1:${port}/${name}`;
  const { id } = await call('POST', endpoints, { url, verification, eventTypes: ['none'], ...more });
  return { id, path: `${endpoints}/${id}`, url, of: () => seen.filter(({ path }) => path === `/${name}`) };
}

async function until<T>(look: () => Promise<T> | T, ready: (found: T) => boolean): Promise<T> {
  for (const deadline = performance.now() + PATIENCE_MS; ;) {
    const found = await look();
    if (ready(found)) return found;
    if (performance.now() > deadline) throw new Error(`still ${JSON.stringify(found)}`);
    await new Promise((next) => setTimeout(next, 20));
  }
}

/** Asks for the proof and answers the delivery, when it is over. */
async function verify(path: string) {
  const { delivery } = await call('POST', `${path}/verify`, undefined, 202);
  return until(
    () => call('GET', `/v1/deliveries/${delivery}`),
    ({ status }) => status !== 'pending',
  );
}

const echo: Says = ({ body }, response) =>
  response.end(JSON.stringify({ challenge: JSON.parse(body).challenge }));

describe('an endpoint that has to be verified', () => {
  it('gets no event before, and what was held after; tests go out all the same', async () => {
    const { id, path, of } = await made('held', 'challenge', echo, { eventTypes: ['thing.happened'] });
    expect(await call('GET', path)).toMatchObject({ status: 'unverified', verifiedAt: null });
    const event = { subscriber: 'acme', type: 'thing.happened', data: {} };
    await call('POST', '/v1/events', event);
    await call('POST', '/v1/events', { ...event, priority: 'critical' });
    const { data } = await call('GET', `/v1/deliveries?endpoint=${id}`);
    expect(data).toHaveLength(2);
    for (const { id: delivery, nextAttempt } of data) {
      expect(nextAttempt.code).toBe('unverified');
      const { waitsFor, toSendNow } = await call('GET', `/v1/deliveries/${delivery}/explain`);
      expect(waitsFor.code).toBe('unverified');
      expect(toSendNow[0].path).toMatch(/\/verify$/);
      // A resend is no way around it.
      expect((await call('POST', `/v1/deliveries/${delivery}/resend`)).result).toBe('held');
    }
    expect((await call('GET', `${path}/health`)).circuit.state).toBe('unverified');
    // Nor are disabling, pausing and what follows them.
    for (const action of ['disable', 'enable', 'pause', 'resume']) await call('POST', `${path}/${action}`);
    await call('POST', '/v1/events', event);
    const { delivery: test } = await call('POST', `${path}/test`, {});
    await until(
      () => call('GET', `/v1/deliveries/${test}`),
      ({ status }) => status === 'failed' || status === 'delivered',
    );
    expect(of().map(({ body }) => JSON.parse(body).type)).toEqual(['posthorn.test']);
    expect(await call('GET', path)).toMatchObject({ status: 'unverified' });

    expect(await verify(path)).toMatchObject({ status: 'delivered' });
    const [, handshake] = of();
    expect(JSON.parse(handshake.body)).toEqual({
      type: 'posthorn.endpoint.verification',
      challenge: expect.stringMatching(/^[\w-]{43}$/) as string,
    });
    expect(handshake.headers['webhook-signature']).toMatch(/^v1,/);
    const now = await until(
      () => call('GET', path),
      ({ status }) => status === 'enabled',
    );
    expect(now.verifiedAt).not.toBeNull();
    expect((await call('GET', `${path}/health`)).transitions[0].kind).toBe('verified');
    await until(
      () => of().filter(({ body }) => body.includes('thing.happened')).length,
      (n) => n >= 1,
    );

    // Somebody else may be there.
    await call('PATCH', path, { url: `http://127.0.0.1:${port}/elsewhere` });
    expect(await call('GET', path)).toMatchObject({ status: 'unverified', verifiedAt: null });
    await call('PATCH', path, { verification: 'none' });
    expect(await call('GET', path)).toMatchObject({ status: 'enabled', verification: 'none' });
    await call('POST', `${path}/verify`, undefined, 409);
  });

  it.each<[string, Says]>([
    ['an empty 200', (_seen, response) => response.end()],
    ['the request as it came', ({ body }, response) => response.end(body.replace('challenge', 'challenges'))],
    [
      'another challenge',
      (_seen, response) => response.end('{"challenge":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}'),
    ],
    ['a challenge that is a number', (_seen, response) => response.end('{"challenge":1}')],
    ['bytes', (_seen, response) => response.end(Buffer.from([0, 255, 0]))],
    ['the challenge with a 400', (one, response) => ((response.statusCode = 400), echo(one, response))],
    ['a redirect', (_seen, response) => response.writeHead(302, { location: '/held' }).end()],
    [
      'a consent of the other kind',
      (_seen, response) => response.writeHead(200, { 'webhook-allowed-origin': '*' }).end(),
    ],
  ])('is not by %s', async (what, answers) => {
    const { path, of } = await made(`wrong-${encodeURIComponent(what)}`, 'challenge', answers);
    const delivery = await verify(path);
    expect(delivery.status).toBe('failed');
    expect(of()).toHaveLength(1);
    expect(await call('GET', path)).toMatchObject({ status: 'unverified', verifiedAt: null });
  });

  it('is by the challenge as plain text; each try has another', async () => {
    const { path, of } = await made('plain', 'challenge', ({ body }, response) =>
      response.end(`${JSON.parse(body).challenge}\n`),
    );
    await verify(path);
    await verify(path);
    expect(new Set(of().map(({ body }) => body)).size).toBe(2);
    await until(
      () => call('GET', path),
      ({ status }) => status === 'enabled',
    );
  });

  it('proves nothing for a URL that it no longer has', async () => {
    const asked = Promise.withResolvers<() => void>();
    const { path } = await made('slow', 'challenge', (one, response) =>
      asked.resolve(() => echo(one, response)),
    );
    const { delivery } = await call('POST', `${path}/verify`, undefined, 202);
    const answer = await asked.promise;
    await call('PATCH', path, { url: `http://127.0.0.1:${port}/victim` });
    answer();
    await until(
      () => call('GET', `/v1/deliveries/${delivery}`),
      ({ status }) => status === 'delivered',
    );
    // Told to the lane and the endpoint right after its outcome was written; what follows it there comes later.
    await verify((await made('after-slow', 'challenge', echo)).path);
    expect(await call('GET', path)).toMatchObject({ status: 'unverified', verifiedAt: null });
  });
});

describe('the handshake of CloudEvents', () => {
  it('is an OPTIONS to the exact target; consent sets the rate and goes with every delivery', async () => {
    const { path, of } = await made('ce?a=b', 'cloudevents', ({ method }, response) => {
      if (method === 'OPTIONS')
        response.writeHead(200, { 'webhook-allowed-origin': ORIGIN, 'webhook-allowed-rate': '120' });
      response.end();
    });
    expect(await verify(path)).toMatchObject({ status: 'delivered' });
    expect(of()[0]).toMatchObject({ method: 'OPTIONS', path: '/ce?a=b', body: '' });
    expect(of()[0].headers).toMatchObject({
      'webhook-request-origin': ORIGIN,
      'webhook-request-rate': expect.stringMatching(/^\d+$/) as string,
    });
    expect(
      await until(
        () => call('GET', path),
        ({ status }) => status === 'enabled',
      ),
    ).toMatchObject({ rateLimit: { algorithm: 'sliding_window', limit: 120, per: 60 } });
    await call('POST', `${path}/test`, {});
    const [, delivery] = await until(of, ({ length }) => length === 2);
    expect([delivery.method, delivery.headers['webhook-request-origin']]).toEqual(['POST', ORIGIN]);
  });

  it.each<[string, number, http.OutgoingHttpHeaders, boolean]>([
    ['a star', 204, { 'webhook-allowed-origin': '*', 'webhook-allowed-rate': '*' }, true],
    ['the origin in capitals', 200, { 'webhook-allowed-origin': ORIGIN.toUpperCase() }, true],
    ['a status alone', 200, {}, false],
    ['CORS', 204, { 'access-control-allow-origin': '*' }, false],
    ['another origin', 200, { 'webhook-allowed-origin': 'other.example.com' }, false],
    ['a list of origins', 200, { 'webhook-allowed-origin': `${ORIGIN}, other.example.com` }, false],
    ['consent and a 405', 405, { 'webhook-allowed-origin': '*' }, false],
    ['consent and a redirect', 301, { 'webhook-allowed-origin': '*', location: '/ce' }, false],
  ])('%s: verified or not', async (what, status, headers, verified) => {
    const { path } = await made(`ce-${encodeURIComponent(what)}`, 'cloudevents', (_seen, response) =>
      response.writeHead(status, headers).end(),
    );
    expect((await verify(path)).status).toBe(verified ? 'delivered' : 'failed');
    const after = verified ? 'enabled' : 'unverified';
    await until(
      () => call('GET', path),
      (found) => found.status === after,
    );
    expect((await call('GET', path)).rateLimit).toBeNull();
  });
});
