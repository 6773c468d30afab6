/**
 * Promise: no secret and no payload gets out of its place, whatever goes wrong. Real: api and worker processes that log
 * everything they can, PostgreSQL, receivers of which some fail and some repeat what they got.
 *
 *   every feature that holds a secret → keys, tokens and secrets in the wrong places → the database refuses rows
 *   with payloads → a worker is killed, another starts with a wrong key → stop() searches everything (leak-watch.ts)
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { newKekText } from '@app/sealing';
import { systemRandom } from '@app/domain';
import { makeAuthority } from '../support/certificate-authority.js';
import type { Identified } from '../support/client.js';
import { leaks } from '../support/leak-watch.js';
import { startPosthorn, startWorker, type Posthorn } from '../support/processes.js';
import { openTables, type Tables } from './e2e-fixture.js';

const secretText = (name: string): string => `${name}-${randomBytes(18).toString('base64url')}`;
const signingSecret = (): string => `whsec_${randomBytes(32).toString('base64')}`;
const accessToken = secretText('oauth-token');
const TOKEN = JSON.stringify({ access_token: accessToken, token_type: 'Bearer', expires_in: 600 });
const STATUS: Record<string, number> = { '/ok': 200, '/unauthorized': 401, '/broken': 500 };
const path = '/v1/subscribers/acme/endpoints';

let posthorn: Posthorn;
let tables: Tables;
let server: Server;
let url: (path: string) => string;

beforeAll(async () => {
  posthorn = await startPosthorn({ env: { LOG_LEVEL: 'debug' } });
  leaks.remember('credential', accessToken);
  tables = openTables(posthorn.adminUrl);
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      if (request.url === '/reset') response.socket?.resetAndDestroy();
      else if (request.url === '/token')
        response.writeHead(200, { 'content-type': 'application/json' }).end(TOKEN);
      // The others repeat what they got: deliveries keep that as the receiver's words, of token servers nobody may.
      else response.writeHead(STATUS[request.url!]).end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  url = (to) => `http://127.0.0.1:${port}${to}`;
}, 60_000);
afterAll(async () => {
  server?.closeAllConnections();
  server?.close();
});

const publish = (subscriber: string, more: object = {}) =>
  posthorn.client.publish({
    subscriber,
    type: 'thing.happened',
    data: { mark: secretText('payload'), text: 'ü\n"quoted"', ...more },
  });

/** Until each delivery has had an attempt. */
const attempted = () =>
  tables.until(
    `SELECT NOT EXISTS (SELECT FROM deliveries WHERE status = 'pending' AND attempts = 0 AND place <> 'held') AS ok`,
  );

it('features that hold a secret are used, by receivers that take it, refuse it and break off', async () => {
  const { client } = posthorn;
  await client.createEventType('thing.happened');
  await client.createSubscriber({ name: 'Acme', externalId: 'acme' });
  await client.post('/v1/subscribers', { name: 'Sealed', externalId: 'sealed', encryptPayloads: true });
  const issued = makeAuthority('Test').issue('client');

  const made: Identified[] = [];
  for (const to of ['/ok', '/broken', '/unauthorized', '/reset'])
    made.push(
      await client.createEndpoint('acme', {
        url: url(to),
        secret: signingSecret(),
        headers: { 'x-api-token': secretText('header'), authorization: `Bearer ${secretText('header')}` },
      }),
    );
  for (const more of [
    { signatures: ['v1', 'v1a'] },
    {
      signatureHeaders: [
        { name: 'x-hub-signature-256', format: 'github', secret: secretText('github') },
        { name: 'stripe-signature', format: 'stripe', secret: secretText('stripe') },
      ],
    },
    { auth: { type: 'basic', username: 'acme', password: secretText('password') } },
    { auth: { type: 'bearer', token: secretText('bearer') } },
    ...['/token', '/broken', '/reset'].map((to) => ({
      auth: {
        type: 'oauth2',
        tokenUrl: url(to),
        clientId: 'acme',
        clientSecret: secretText('client'),
        clientAuth: to === '/broken' ? 'post' : 'basic',
      },
    })),
    // There is no TLS: it fails before the key is needed, with the key in hand.
    {
      url: url('/ok').replace('http:', 'https:'),
      tls: { clientCertificate: issued.certificate, clientKey: issued.key },
    },
  ])
    made.push(await client.createEndpoint('acme', { url: url('/ok'), ...more }));
  await client.createEndpoint('sealed', { url: url('/ok'), secret: signingSecret() });

  await Promise.all([publish('acme'), publish('sealed'), publish('acme')]);
  await attempted();
  for (const { id } of made) {
    await client.get(`${path}/${id}`);
    await client.get(`${path}/${id}/secret`);
    await client.post(`${path}/${id}/secret/rotate`, {});
    await client.request('POST', `${path}/${id}/test`, {});
  }
  await client.request('PATCH', `${path}/${made[0].id}`, {
    headers: { 'x-api-token': secretText('header') },
  });
  await attempted();
  for (const { id } of await client.get<{ data: Identified[] }>('/v1/deliveries').then(({ data }) => data)) {
    await client.delivery(id);
    await client.get(`/v1/deliveries/${id}/explain`);
    await client.request('POST', `/v1/deliveries/${id}/resend`);
  }
  await attempted();

  const apiKey = await client.post<{ id: string; key: string }>('/v1/api-keys', {
    name: 'publisher',
    scopes: ['events:write'],
  });
  await client.as(apiKey.key).publish({ subscriber: 'acme', type: 'thing.happened', data: {} });
  await client.post(`/v1/api-keys/${apiKey.id}/rotate`, {});
  const { token } = await client.post<{ token: string }>('/v1/subscribers/acme/access-tokens', {
    mode: 'manage',
  });
  expect((await client.as(token).request('GET', path)).status).toBe(200);
}, 60_000);

it('secrets stand in wrong places, and no answer repeats them', async () => {
  const { client } = posthorn;
  const lost = (await client.post<{ key: string }>('/v1/api-keys', { name: 'x', scopes: ['endpoints:read'] }))
    .key;
  const header = secretText('header');
  leaks.remember('header value', header);
  const refused: [method: string, path: string, body?: unknown, headers?: Record<string, string>][] = [
    ['GET', `/v1/subscribers?api_key=${lost}`],
    ['GET', `/v1/subscribers?cursor=${lost}`],
    ['GET', `/v1/subscribers?limit=${lost}`],
    ['GET', `/v1/deliveries?status=${lost}`],
    ['GET', `/v1/deliveries?since=${lost}`],
    ['GET', `/v1/deliveries/${lost}`],
    ['GET', `/v1/subscribers/${lost}`],
    ['GET', `/v1/subscribers/acme/${lost}`],
    ['PUT', `/v1/subscribers/${lost}`],
    ['GET', `/${lost}`],
    ['GET', `/v1/subscribers/%zz${lost}`],
    ['POST', '/v1/subscribers', { name: 'x', key: lost }],
    ['POST', '/v1/subscribers', { name: 'x', [lost]: 'x' }],
    ['POST', '/v1/subscribers', { name: { key: lost } }],
    ['POST', '/v1/subscribers', `{"name": "${lost}`],
    ['POST', '/v1/subscribers', `{"name": ${lost}}`],
    ['POST', '/v1/subscribers', `key=${lost}`, { 'content-type': 'application/x-www-form-urlencoded' }],
    ['GET', '/v1/subscribers', undefined, { authorization: `Basic ${lost}` }],
    ['GET', '/v1/subscribers', undefined, { authorization: `Bearer ${lost}x` }],
    ['GET', '/v1/subscribers', undefined, { authorization: lost }],
    ['POST', '/v1/subscribers', { name: 'x' }, { 'idempotency-key': `${lost} ${lost}` }],
    ['POST', path, { url: `https://acme:${header}@hooks.example.com/` }],
    ['POST', path, { url: url('/ok'), secret: header }],
    ['POST', path, { url: url('/ok'), secret: [signingSecret()] }],
    ['POST', path, { url: url('/ok'), headers: { 'x-token': `${header}\n` } }],
    ['POST', path, { url: url('/ok'), headers: { 'x-token': [header] } }],
    ['POST', path, { url: url('/ok'), headers: { host: header } }],
    ['POST', path, { url: url('/ok'), headers: header }],
    ['POST', path, { url: url('/ok'), auth: { type: 'basic', username: 'x', token: header } }],
    ['POST', path, { url: url('/ok'), auth: { type: 'bearer', token: `${header}\r\n` } }],
    ['POST', path, { url: url('/ok'), auth: { type: header } }],
    ['POST', path, { url: url('/ok'), auth: header }],
    ['POST', path, { url: url('/ok'), tls: { clientKey: header, clientCertificate: header } }],
    [
      'POST',
      path,
      { url: url('/ok'), signatureHeaders: [{ name: 'x', format: 'github', secret: [header] }] },
    ],
    ['POST', `/v1/subscribers/acme/access-tokens`, { mode: lost }],
    ['POST', '/v1/events', { subscriber: 'nobody', type: 'thing.happened', data: { mark: header } }],
    [
      'POST',
      '/v1/events',
      { subscriber: 'acme', type: 'thing.unknown', data: { mark: secretText('payload') } },
    ],
    ['POST', '/v1/events', `{"subscriber":"acme","type":"thing.happened","data":{"mark":"${header}",}}`],
  ];
  for (const [method, to, body, headers] of refused) {
    const answer = await client.request(method, to, body, headers);
    expect(answer.status, `${method} ${to} ${JSON.stringify(answer.body)}`).toBeGreaterThanOrEqual(400);
  }
}, 60_000);

it('the database refuses rows with payloads in them, a worker is killed, another has the wrong key', async () => {
  const { client } = posthorn;
  const refuse = (table: string, check: string) =>
    tables.rows(`ALTER TABLE ${table} ADD CONSTRAINT planted CHECK (${check}) NOT VALID`);
  const relent = (table: string) => tables.rows(`ALTER TABLE ${table} DROP CONSTRAINT planted`);

  await refuse('events', `data NOT LIKE '%refused%'`);
  await refuse('endpoints', `description <> 'refused'`);
  const event = { subscriber: 'acme', type: 'thing.happened' };
  const answers = [
    await client.request('POST', '/v1/events', { ...event, data: { mark: secretText('refused') } }),
    await client.request('POST', path, {
      url: url('/ok'),
      description: 'refused',
      secret: signingSecret(),
      headers: { 'x-api-token': secretText('header') },
    }),
  ];
  expect(answers.map(({ status }) => status)).toEqual([500, 500]);
  await Promise.all(['events', 'endpoints'].map(relent));

  // What is recorded holds the receiver's words, which are the payload.
  await refuse('attempts', `response_body NOT LIKE '%unrecorded%'`);
  await publish('acme', { unrecorded: 'unrecorded' });
  await untilLogged(/outcomes|record/);
  await relent('attempts');

  const [worker] = posthorn.workers;
  await publish('acme');
  await worker.stop('SIGKILL');
  // Its claims run out now instead of after 12 s.
  await tables.rows(
    `UPDATE pgboss.job SET heartbeat_on = heartbeat_on - interval '1 minute' WHERE name = 'deliver' AND state = 'active'`,
  );
  const { databaseUrl } = posthorn;
  const env = { POSTHORN_KEKS: newKekText(systemRandom), LOG_LEVEL: 'debug' };
  await expect(startWorker({ databaseUrl, env })).rejects.toThrow();
  await posthorn.startWorker();
  await attempted();
  await posthorn.client.request('GET', `/v1/deliveries/dlv_${randomUUID()}`);
}, 60_000);

it('and none of it is anywhere but where it belongs', async () => {
  await tables.close();
  await posthorn.stop();
}, 60_000);

async function untilLogged(what: RegExp): Promise<void> {
  for (const deadline = performance.now() + 20_000; performance.now() < deadline;) {
    const lines = (await posthorn.workers[0].logs()).split('\n');
    if (lines.some((line) => /"level":(50|"error")|"error"/.test(line) && what.test(line))) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`never logged: ${await posthorn.workers[0].logs()}`);
}
