/**
 * How we prove to receivers who we are, from the API to what a receiver sees. Real: api, worker, PostgreSQL, HTTP and TLS on
 * loopback, a token server. Nothing of ours judges itself: signatures are verified by standardwebhooks, svix, octokit and the
 * openssl command, certificates are made by openssl and asked for by Node's TLS server.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { pathToFileURL } from 'node:url';
import { createLogger, Metrics } from '@app/observability';
import type { Database } from '@app/persistence';
import { verify as octokitVerify } from '@octokit/webhooks-methods';
import { Webhook as StandardWebhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Worker } from '../../apps/worker/src/worker.js';
import { makeAuthority } from '../support/certificate-authority.js';
import { openDatabase } from '../support/fixtures.js';
import { configFor, startApi, type ApiFixture } from './api-fixture.js';

const ENV = { POSTHORN_RATE_LIMIT_TEST: '0' };
const PATIENCE_MS = 10_000;
const MASK = '••••••';

interface Seen {
  path: string;
  headers: Record<string, string>;
  body: string;
  /** Of the client's certificate, when the receiver knows who signed it. */
  client: string | null;
}
type Says = (seen: Seen, response: http.ServerResponse) => void;

let fixture: ApiFixture;
let database: Database;
let worker: Worker;
const logged: string[] = [];
const servers: http.Server[] = [];
const seen: Seen[] = [];
const says = new Map<string, Says>();
let receiverUrl: string;
let base: string;

const serverCa = makeAuthority('Acme Servers');
const clientCa = makeAuthority('Acme Clients');

async function serve(made: http.Server): Promise<number> {
  servers.push(made);
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve));
  return (made.address() as AddressInfo).port;
}

function receive(request: http.IncomingMessage, response: http.ServerResponse): void {
  let body = '';
  request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
  request.on('end', () => {
    const socket = request.socket as TLSSocket;
    const client = socket.authorized ? String(socket.getPeerCertificate().subject.CN) : null;
    const one = { path: request.url!, headers: request.headers as Record<string, string>, body, client };
    seen.push(one);
    (says.get(one.path) ?? ((_seen, it) => it.end('ok')))(one, response);
  });
}

beforeAll(async () => {
  receiverUrl = `http://127.0.0.1:${await serve(http.createServer(receive))}`;
  fixture = await startApi(ENV);
  database = await openDatabase(fixture.databaseUrl);
  const config = { ...configFor(fixture.databaseUrl, ENV), DATABASE_URL: fixture.databaseUrl };
  const logger = createLogger({ level: 'debug', process: 'worker' });
  for (const level of ['debug', 'info', 'warn', 'error'] as const)
    logger[level] = (...said: unknown[]) => void logged.push(JSON.stringify(said));
  worker = new Worker(config, 'test', database, new Metrics(), logger);
  await worker.start();
  await call('POST', '/v1/subscribers', { name: 'Acme', externalId: 'acme' });
  base = '/v1/subscribers/acme/endpoints';
});
afterAll(async () => {
  await worker?.stop();
  await database?.close();
  await fixture?.stop();
  for (const server of servers) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});
beforeEach(() => void seen.splice(0));

async function call(method: string, path: string, body?: unknown, status?: number) {
  const reply = await fixture.call(method, path, body);
  if (status === undefined ? reply.status >= 300 : reply.status !== status)
    throw new Error(`${method} ${path}: ${reply.status} ${reply.text}`);
  return reply.body;
}

let count = 0;
/** An endpoint at a path of its own. */
async function made(more: object = {}, answers?: Says, origin = receiverUrl) {
  const name = `/${++count}`;
  if (answers) says.set(name, answers);
  const body = await call('POST', base, { url: origin + name, eventTypes: ['none'], ...more });
  return { ...body, path: `${base}/${body.id}`, of: () => seen.filter(({ path }) => path === name) };
}

/** Sends a test event and answers its delivery when it is over. */
async function send(path: string) {
  const { delivery } = await call('POST', `${path}/test`, {});
  for (const deadline = performance.now() + PATIENCE_MS; ;) {
    const found = await call('GET', `/v1/deliveries/${delivery}`);
    if (found.status !== 'pending') return found;
    if (performance.now() > deadline) throw new Error(`still ${JSON.stringify(found)}`);
    await new Promise((next) => setTimeout(next, 15));
  }
}

/** All that a delivery shows, its attempts too. */
const shownOf = (delivery: object): string => JSON.stringify(delivery);

const folder = mkdtempSync(join(tmpdir(), 'posthorn-v1a-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Which of the `v1a` signatures openssl accepts, by position. */
function opensslAccepts(publicKey: string, { headers, body }: Seen): number[] {
  const der = Buffer.concat([
    Buffer.from('302a300506032b6570032100', 'hex'),
    Buffer.from(publicKey.slice(5), 'base64'),
  ]);
  const pem = `-----BEGIN PUBLIC KEY-----\n${der.toString('base64')}\n-----END PUBLIC KEY-----\n`;
  writeFileSync(join(folder, 'key.pem'), pem);
  writeFileSync(join(folder, 'content'), `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`);
  return signatures(headers, 'v1a').flatMap((signature, at) => {
    writeFileSync(join(folder, 'signature'), Buffer.from(signature, 'base64'));
    const args = 'pkeyutl -verify -pubin -rawin -inkey key.pem -in content -sigfile signature'.split(' ');
    const { status, error } = spawnSync('openssl', args, { cwd: folder });
    if (error) throw new Error(`This test needs the openssl command, 3.0 or later: ${error.message}`);
    return status === 0 ? [at] : [];
  });
}

const signatures = (headers: Record<string, string>, version: string): string[] =>
  headers['webhook-signature']
    .split(' ')
    .filter((each) => each.startsWith(`${version},`))
    .map((each) => each.slice(version.length + 1));

function standardAccepts(secret: string, { headers, body }: Seen): boolean {
  const results = [StandardWebhook, SvixWebhook].map((Oracle) => {
    try {
      new Oracle(secret).verify(body, headers);
      return true;
    } catch {
      return false;
    }
  });
  expect(results[0]).toBe(results[1]);
  return results[0];
}

describe('signatures', () => {
  it('are HMAC by default, and both kinds, or ed25519 alone, when asked for', async () => {
    const plain = await made();
    expect([plain.signatures, plain.publicKey]).toEqual([['v1'], null]);
    await send(plain.path);
    expect(standardAccepts(plain.secret, plain.of()[0])).toBe(true);
    expect(plain.of()[0].headers['posthorn-key-ids']).toBeUndefined();

    const both = await made({ signatures: ['v1a', 'v1'] });
    await send(both.path);
    const [request] = both.of();
    expect(both.signatures).toEqual(['v1', 'v1a']);
    expect(standardAccepts(both.secret, request)).toBe(true);
    expect(opensslAccepts(both.publicKey, request)).toEqual([0]);
    // The last one is v1: all that a receiver in Elixir looks at.
    expect(request.headers['webhook-signature']).toMatch(/^v1a,\S+ v1,\S+$/);

    const { data } = await call('GET', `${both.path}/public-key`);
    expect(data).toMatchObject([
      { publicKey: both.publicKey, expiresAt: null, keyId: request.headers['posthorn-key-ids'] },
    ]);
    await call('PATCH', both.path, { signatures: ['v1a'] });
    await send(both.path);
    expect(both.of()[1].headers['webhook-signature']).toMatch(/^v1a,\S+$/);
    // Away and back: the receiver's key is still good.
    await call('PATCH', both.path, { signatures: ['v1'] });
    await call('PATCH', both.path, { signatures: ['v1', 'v1a'] });
    expect((await call('GET', `${both.path}/public-key`)).data).toEqual(data);
  });

  it('rotate: newest first while the old ones last, five live at most, and no private key is ever shown', async () => {
    const { path, publicKey: first, of } = await made({ signatures: ['v1a'] });
    const rotate = (body: object, status?: number) => call('POST', `${path}/secret/rotate`, body, status);
    const { data: rotated } = await rotate({ overlapSeconds: 3600 });
    expect(rotated).toMatchObject([{ kind: 'v1a', secret: null, expiresAt: null }]);
    const [{ publicKey: second }] = rotated;
    await send(path);
    const [request] = of();
    expect(opensslAccepts(second, request)).toEqual([0]);
    expect(opensslAccepts(first, request)).toEqual([1]);
    const { data } = await call('GET', `${path}/public-key`);
    expect(data.map((each: { publicKey: string }) => each.publicKey)).toEqual([second, first]);
    expect(request.headers['posthorn-key-ids']).toBe(
      data.map((each: { keyId: string }) => each.keyId).join(' '),
    );

    for (let live = 3; live <= 5; live++) await rotate({ kind: 'v1a', overlapSeconds: 604_800 });
    expect(await rotate({ kind: 'v1a', overlapSeconds: 604_800 }, 409)).toMatchObject({
      code: 'limit_reached',
    });
    await rotate({ kind: 'v1a', overlapSeconds: 0 });
    await send(path);
    expect(signatures(of()[1].headers, 'v1a')).toHaveLength(1);
    expect(opensslAccepts(second, of()[1])).toEqual([]);
    expect(await rotate({ kind: 'v1a', overlapSeconds: 604_801 }, 400)).toMatchObject({
      code: 'invalid_request',
    });
    expect(
      await rotate({ kind: 'v1a', secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' }, 400),
    ).toMatchObject({
      code: 'invalid_secret',
    });
    // The other kind goes on as it was.
    expect((await call('GET', `${path}/secret`)).data).toHaveLength(1);

    const everything = await everythingStored();
    expect(everything).not.toContain('whsk_');
  });

  it('verify with the key that the JWK Set has under the id in the request', async () => {
    const { id, path, of } = await made({ signatures: ['v1a'] });
    await made({ signatures: ['v1a'] });
    await send(path);
    const set = await fixture.call('GET', `/v1/jwks?endpoint=${id}`);
    expect(set.headers.get('cache-control')).toBe('private, max-age=300');
    const [request] = of();
    const key = set.body.keys.find(
      (each: { kid: string }) => each.kid === request.headers['posthorn-key-ids'],
    );
    expect(key).toMatchObject({ kty: 'OKP', crv: 'Ed25519', use: 'sig', endpoint: id });
    expect(opensslAccepts(`whpk_${Buffer.from(key.x, 'base64url').toString('base64')}`, request)).toEqual([
      0,
    ]);
    expect(set.body.keys).toHaveLength(1);

    // All of them, page by page, and nobody else's.
    const page = await fixture.call('GET', '/v1/jwks?limit=1');
    expect(page.body.keys).toHaveLength(1);
    expect(page.headers.get('link')).toContain('rel="next"');
    const { id: stranger } = await call('POST', '/v1/subscribers', { name: 'Stranger' });
    const { key: bound } = await fixture.key(['endpoints:read'], stranger);
    for (const query of ['', `?endpoint=${id}`])
      expect((await fixture.call('GET', `/v1/jwks${query}`, undefined, { key: bound })).body.keys).toEqual(
        [],
      );
    await call('DELETE', path);
    expect((await call('GET', `/v1/jwks?endpoint=${id}`)).keys).toEqual([]);
  });
});

describe('signature headers', () => {
  it("in GitHub's form verify with octokit, with the endpoint's secret or one of the receiver's", async () => {
    const own = 'a secret that GitHub had';
    const { path, secret, signatureHeaders, of } = await made({
      signatureHeaders: [
        { name: 'X-Hub-Signature-256', format: 'github' },
        { name: 'x-old-signature', format: 'github', secret: own },
      ],
    });
    expect(signatureHeaders).toEqual([
      { name: 'X-Hub-Signature-256', format: 'github', secret: null },
      { name: 'x-old-signature', format: 'github', secret: MASK },
    ]);
    // What was read is sent back.
    await call('PATCH', path, { signatureHeaders });
    await send(path);
    const [{ headers, body }] = of();
    expect(await octokitVerify(secret, body, headers['x-hub-signature-256'])).toBe(true);
    expect(await octokitVerify(own, body, headers['x-old-signature'])).toBe(true);
    expect(await octokitVerify(own, body, headers['x-hub-signature-256'])).toBe(false);
    expect(await everythingStored()).not.toContain(own);
    await call('PATCH', path, { signatureHeaders: null });
    await send(path);
    expect(of()[1].headers['x-hub-signature-256']).toBeUndefined();
  });

  it("in Stripe's form have a v1 for each live secret, newest first", async () => {
    const { path, secret, of } = await made({
      signatureHeaders: [{ name: 'stripe-signature', format: 'stripe' }],
    });
    const { data } = await call('POST', `${path}/secret/rotate`, { overlapSeconds: 60 });
    await send(path);
    const [{ headers, body }] = of();
    // As Stripe describes it for those who verify by hand, with openssl's HMAC.
    const [t, ...given] = headers['stripe-signature'].split(',');
    expect(Math.abs(Number(t.slice(2)) - Date.now() / 1000)).toBeLessThan(60);
    const expected = [data[0].secret, secret].map((key) => {
      const args = ['dgst', '-sha256', '-mac', 'HMAC', '-macopt', `key:${key}`, '-r'];
      return `v1=${spawnSync('openssl', args, { input: `${t.slice(2)}.${body}` })
        .stdout.toString()
        .slice(0, 64)}`;
    });
    expect(given).toEqual(expected);
  });
});

it('the receiver of docs/verifying.md verifies all three, and nothing that was changed', async () => {
  const code = /```js\n(.*?)```/s.exec(readFileSync('docs/verifying.md', 'utf8'))![1];
  writeFileSync(join(folder, 'verify.mjs'), code);
  const { verifiedV1a, verifiedGithub, verifiedStripe } = (await import(
    /* @vite-ignore */ pathToFileURL(join(folder, 'verify.mjs')).href
  )) as Record<string, (headers: unknown, body: Buffer, key: unknown) => boolean>;
  const { path, secret, publicKey, of } = await made({
    signatures: ['v1', 'v1a'],
    signatureHeaders: [
      { name: 'x-hub-signature-256', format: 'github' },
      { name: 'stripe-signature', format: 'stripe' },
    ],
  });
  await send(path);
  const [{ headers, body }] = of();
  for (const [text, expected] of [
    [body, true],
    [`${body} `, false],
  ] as const) {
    const bytes = Buffer.from(text);
    expect(verifiedV1a(headers, bytes, [publicKey])).toBe(expected);
    expect(verifiedGithub(headers['x-hub-signature-256'], bytes, secret)).toBe(expected);
    expect(verifiedStripe(headers['stripe-signature'], bytes, secret)).toBe(expected);
  }
});

describe('authorization', () => {
  const basicOf = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

  it('basic and bearer arrive, are masked, kept when the mask is sent back, and taken away by null', async () => {
    const password = 'Zürich:é pass';
    const { path, auth, of } = await made(
      { auth: { type: 'basic', username: 'posthorn', password } },
      ({ headers }, response) =>
        response.setHeader('x-echo', headers.authorization ?? '').end(`got ${headers.authorization}`),
    );
    expect(auth).toEqual({ type: 'basic', username: 'posthorn', password: MASK });
    const echoed = await send(path);
    expect(of()[0].headers.authorization).toBe(basicOf(`posthorn:${password}`));
    // The receiver sent it back; it is not kept.
    expect(shownOf(echoed)).toContain('got Basic [redacted]');
    expect(shownOf(echoed)).not.toContain(basicOf(`posthorn:${password}`).slice(6));

    await call('PATCH', path, { auth: { ...auth, username: 'other' } });
    await send(path);
    expect(of()[1].headers.authorization).toBe(basicOf(`other:${password}`));

    await call('PATCH', path, { auth: { type: 'bearer', token: 'tok-en.of_the~receiver' } });
    expect((await call('GET', path)).auth).toEqual({ type: 'bearer', token: MASK });
    await send(path);
    expect(of()[2].headers.authorization).toBe('Bearer tok-en.of_the~receiver');
    const everything = await everythingStored();
    for (const secret of [password, 'tok-en.of_the~receiver']) expect(everything).not.toContain(secret);

    await call('PATCH', path, { auth: null });
    await send(path);
    expect(of()[3].headers.authorization).toBeUndefined();
  });

  it.each([
    ['of no kind', { type: 'digest' }, '/auth/type'],
    ['of basic with a colon', { type: 'basic', username: 'a:b', password: 'x' }, '/auth/username'],
    ['with a line break', { type: 'bearer', token: 'a\nb' }, '/auth/token'],
    ['with the scheme in the token', { type: 'bearer', token: 'Bearer x' }, '/auth/token'],
    ['with a misspelt field', { type: 'bearer', token: 'x', tokne: 'y' }, '/auth/tokne'],
    ['with a mask of nothing', { type: 'bearer', token: MASK }, '/auth/token'],
    [
      'with a token URL inside',
      { type: 'oauth2', tokenUrl: 'https://169.254.169.254/token', clientId: 'a', clientSecret: 'b' },
      '/auth/tokenUrl',
    ],
  ])('%s is refused without its value', async (_what, auth, pointer) => {
    const reply = await fixture.call('POST', base, { url: `${receiverUrl}/x`, auth });
    expect([reply.status, reply.body.code, reply.body.errors[0].pointer]).toEqual([
      400,
      'invalid_auth',
      pointer,
    ]);
    expect(reply.text).not.toContain('Bearer x');
  });

  it('stands beside no custom header of that name, whichever comes first', async () => {
    const headers = { Authorization: 'mine' };
    const auth = { type: 'bearer', token: 'x' };
    const both = await fixture.call('POST', base, { url: `${receiverUrl}/x`, headers, auth });
    expect([both.status, both.body.code]).toEqual([400, 'invalid_auth']);
    const { path } = await made({ auth });
    expect(await call('PATCH', path, { headers }, 400)).toMatchObject({ code: 'invalid_auth' });
    await call('PATCH', path, { headers, auth: null });
  });
});

describe('OAuth2', () => {
  /** A token server that gives t1, t2, …; `says` changes its mind. */
  async function tokenServer() {
    const asked: { authorization: string | undefined; form: URLSearchParams }[] = [];
    const state = {
      valid: '',
      answer: null as null | ((response: http.ServerResponse) => void),
      expiresIn: 3600,
    };
    const port = await serve(
      http.createServer((request, response) => {
        let body = '';
        request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
        request.on('end', () => {
          asked.push({ authorization: request.headers.authorization, form: new URLSearchParams(body) });
          if (state.answer) return state.answer(response);
          state.valid = `access-token-${port}-${asked.length}`;
          response.setHeader('content-type', 'application/json');
          response.end(
            JSON.stringify({ access_token: state.valid, token_type: 'Bearer', expires_in: state.expiresIn }),
          );
        });
      }),
    );
    const auth = {
      type: 'oauth2',
      tokenUrl: `http://127.0.0.1:${port}/token`,
      clientId: 'posthorn',
      clientSecret: 's3cret:&/',
    };
    /** A receiver that takes the newest token only, and repeats what it got. */
    const guarded: Says = ({ headers }, response) =>
      response
        .writeHead(headers.authorization === `Bearer ${state.valid}` ? 200 : 401)
        .end(headers.authorization);
    return { asked, state, auth, guarded };
  }

  it('fetches one token for all who need it, and another when the receiver refuses it: the same attempt', async () => {
    const { asked, state, auth, guarded } = await tokenServer();
    const { path, of } = await made({ auth: { ...auth, scope: 'hooks.write', audience: 'acme' } }, guarded);
    expect((await call('GET', path)).auth).toEqual({
      ...{ ...auth, clientSecret: MASK, clientAuth: 'basic', scope: 'hooks.write', audience: 'acme' },
    });
    const all = await Promise.all(Array.from({ length: 6 }, () => send(path)));
    expect(all.map(({ status }) => status)).toEqual(Array(6).fill('delivered'));
    expect(asked).toHaveLength(1);
    // RFC 6749, 2.3.1: form-encoded before they are joined.
    expect(asked[0].authorization).toBe(
      `Basic ${Buffer.from('posthorn:s3cret%3A%26%2F').toString('base64')}`,
    );
    expect(Object.fromEntries(asked[0].form)).toEqual({
      ...{ grant_type: 'client_credentials', scope: 'hooks.write', audience: 'acme' },
    });

    state.valid = 'revoked meanwhile';
    const repeated = await send(path);
    expect(repeated).toMatchObject({ status: 'delivered', attempts: 1 });
    expect(of()).toHaveLength(8);
    expect(shownOf(repeated)).toContain('with a new one the request was repeated once');
    expect(shownOf(repeated)).toContain('Bearer [redacted]');
    expect(asked).toHaveLength(2);

    // A receiver that takes none is asked twice, and that is its answer.
    says.set(of()[0].path, (_seen, response) => response.writeHead(401).end());
    expect(await send(path)).toMatchObject({
      status: 'failed',
      failure: 'http_4xx',
      statusCode: 401,
      attempts: 1,
    });
    expect(of()).toHaveLength(10);

    const everything = (await everythingStored()) + logged.join('\n');
    for (const secret of [auth.clientSecret, 'access-token-']) expect(everything).not.toContain(secret);
  });

  it('shares no token between endpoints, nor after a change of settings', async () => {
    const { asked, auth } = await tokenServer();
    const [one, two] = [await made({ auth }), await made({ auth })];
    await send(one.path);
    await send(two.path);
    expect(asked).toHaveLength(2);
    expect(one.of()[0].headers.authorization).not.toBe(two.of()[0].headers.authorization);
    // The mask keeps the secret; id and secret now stand in the form.
    await call('PATCH', one.path, { auth: { ...auth, clientSecret: MASK, clientAuth: 'post' } });
    await send(one.path);
    expect(asked).toHaveLength(3);
    expect(asked[2].authorization).toBeUndefined();
    expect(Object.fromEntries(asked[2].form)).toMatchObject({
      client_id: 'posthorn',
      client_secret: 's3cret:&/',
    });
    // Not to another server, though: it would be told the secret.
    const elsewhere = { ...auth, tokenUrl: `${receiverUrl}/token`, clientSecret: MASK };
    const refused = await call('PATCH', one.path, { auth: elsewhere }, 400);
    expect(refused.errors[0].pointer).toBe('/auth/clientSecret');
  });

  it.each([
    [
      'knows us not',
      'token_refused',
      401,
      JSON.stringify({ error: 'invalid_client', error_description: 's3cret:&/' }),
    ],
    ['is broken', 'token_unavailable', 503, 'no'],
    ['talks of something else', 'token_unavailable', 200, '<html>'],
    [
      'gives a token that no header can carry',
      'token_unavailable',
      200,
      JSON.stringify({ access_token: 'a\r\nb' }),
    ],
    [
      'gives another type',
      'token_unavailable',
      200,
      JSON.stringify({ access_token: 'x', token_type: 'mac' }),
    ],
    ['does not end', 'token_unavailable', 200, `{"access_token":"${'x'.repeat(40_000)}"}`],
  ])(
    'a token server that %s is a %s, and the receiver is not asked',
    async (_what, failure, status, body) => {
      const { state, auth } = await tokenServer();
      state.answer = (response) => response.writeHead(status).end(body);
      const { path, of } = await made({ auth });
      const delivery = await send(path);
      expect(delivery).toMatchObject({ status: 'failed', failure, statusCode: null, attempts: 1 });
      expect(shownOf(delivery)).not.toContain('s3cret');
      expect(of()).toEqual([]);
    },
  );

  it('follows no redirect of a token server, and is not stopped by one that is not there', async () => {
    const { state, auth } = await tokenServer();
    state.answer = (response) => response.writeHead(307, { location: `${receiverUrl}/elsewhere` }).end();
    expect(await send((await made({ auth })).path)).toMatchObject({ failure: 'token_unavailable' });
    expect(seen).toEqual([]);
    const port = await serve(http.createServer());
    const gone = servers.pop()!;
    await new Promise((resolve) => gone.close(resolve));
    const { path } = await made({ auth: { ...auth, tokenUrl: `http://127.0.0.1:${port}/` } });
    expect(await send(path)).toMatchObject({ failure: 'token_unavailable' });
  });
});

describe('TLS', () => {
  const server = serverCa.issue('hooks.acme.test');
  const client = clientCa.issue('posthorn at acme');
  let secureUrl: string;
  beforeAll(async () => {
    const options = {
      key: server.key,
      cert: server.certificate,
      ca: clientCa.certificate,
      requestCert: true,
    };
    const made = https.createServer({ ...options, rejectUnauthorized: false }, receive);
    made.on('tlsClientError', () => {});
    secureUrl = `https://127.0.0.1:${await serve(made)}`;
  });
  const identity = { clientCertificate: client.certificate, clientKey: client.key, ca: serverCa.certificate };

  it('shows the client certificate and trusts the authority that it was given, and no other', async () => {
    const { path, tls, of } = await made({ tls: identity }, undefined, secureUrl);
    expect(tls).toMatchObject({
      clientCertificate: {
        subject: 'CN=posthorn at acme',
        issuer: 'CN=Acme Clients',
        fingerprint: expect.stringMatching(/^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/) as string,
      },
      clientKey: MASK,
      ca: [{ subject: 'CN=Acme Servers', issuer: 'CN=Acme Servers' }],
    });
    expect(await send(path)).toMatchObject({ status: 'delivered' });
    expect(of()[0].client).toBe('posthorn at acme');

    // Merged: without the certificate, with the same authority.
    await call('PATCH', path, { tls: { clientCertificate: null, clientKey: null } });
    expect(await send(path)).toMatchObject({ status: 'delivered' });
    expect(of()[1].client).toBe(null);
    await call('PATCH', path, { tls: { ca: clientCa.certificate } });
    expect(await send(path)).toMatchObject({ status: 'failed', failure: 'tls_untrusted' });
    await call('PATCH', path, { tls: null });
    expect(await send(path)).toMatchObject({ status: 'failed', failure: 'tls_untrusted' });
    expect((await call('GET', path)).tls).toBe(null);

    const everything = await everythingStored();
    expect(everything).not.toContain(client.key.split('\n')[1]);
  });

  it('of two endpoints at one host are two connections, and each is who it is', async () => {
    const bob = clientCa.issue('bob');
    const other = { ...identity, clientCertificate: bob.certificate, clientKey: bob.key };
    const [one, two] = [
      await made({ tls: identity }, undefined, secureUrl),
      await made({ tls: other }, undefined, secureUrl),
    ];
    for (let round = 0; round < 2; round++) for (const { path } of [one, two]) await send(path);
    expect(one.of().map((each: Seen) => each.client)).toEqual(['posthorn at acme', 'posthorn at acme']);
    expect(two.of().map((each: Seen) => each.client)).toEqual(['bob', 'bob']);
  });

  const expired = clientCa.issue('late', { expired: true });
  it.each<[string, object, string]>([
    ['a key of another certificate', { ...identity, clientKey: server.key }, '/tls/clientKey'],
    ['a key alone', { clientKey: client.key }, '/tls/clientCertificate'],
    ['a certificate alone', { clientCertificate: client.certificate }, '/tls/clientKey'],
    [
      'one that has expired',
      { clientCertificate: expired.certificate, clientKey: expired.key },
      '/tls/clientCertificate',
    ],
    ['an authority that is none', { ca: server.certificate }, '/tls/ca'],
    ['a key among the authorities', { ca: serverCa.certificate + serverCa.key }, '/tls/ca'],
    ['no PEM', { ca: 'no' }, '/tls/ca'],
    ['more than 16 KB', { ca: serverCa.certificate + ' '.repeat(16_384) }, '/tls/ca'],
    ['a misspelt field', { cert: client.certificate }, '/tls/cert'],
    ['a mask of nothing', { clientCertificate: client.certificate, clientKey: MASK }, '/tls/clientKey'],
  ])('%s is refused', async (_what, tls, pointer) => {
    const reply = await fixture.call('POST', base, { url: `${secureUrl}/x`, tls });
    expect([reply.status, reply.body.code, reply.body.errors[0].pointer]).toEqual([
      400,
      'invalid_tls',
      pointer,
    ]);
    expect(reply.text).not.toContain('PRIVATE');
  });

  it('needs https, now and after a change of the URL', async () => {
    const plain = await fixture.call('POST', base, { url: `${receiverUrl}/x`, tls: identity });
    expect([plain.status, plain.body.code]).toEqual([400, 'invalid_tls']);
    const { path } = await made({ tls: identity }, undefined, secureUrl);
    expect(await call('PATCH', path, { url: `${receiverUrl}/x` }, 400)).toMatchObject({
      code: 'invalid_tls',
    });
  });
});

it('an audit row says that credentials changed, and never to what', async () => {
  const { id, path } = await made({ auth: { type: 'bearer', token: 'first-token-of-audit' } });
  await call('PATCH', path, { auth: { type: 'bearer', token: 'second-token-of-audit' } });
  const rows = await database.query<{ text: string }>(
    `SELECT concat(before, after) AS text FROM audit_log WHERE object = $1 AND action = 'endpoint.update'`,
    [id],
  );
  expect(rows).toHaveLength(1);
  expect(rows[0].text).toContain('(changed)');
  expect(rows[0].text).not.toContain('token-of-audit');
});

/** Every row of every table that belongs to us, as text. */
async function everythingStored(): Promise<string> {
  const tables = await database.query<{ name: string }>(
    `SELECT quote_ident(relname) AS name FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace`,
  );
  const texts = await Promise.all(
    tables.map(async ({ name }) => {
      const [row] = await database.query<{ text: string | null }>(
        `SELECT string_agg(t::text, ' ') AS text FROM ${name} t`,
      );
      return row.text ?? '';
    }),
  );
  return texts.join('\n');
}
