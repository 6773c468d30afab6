// Real: the api with its HTTP servers, PostgreSQL.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApi, type Api } from '../../apps/api/src/create-api.js';
import { createTestDatabase } from '../support/database.js';
import { ADMIN_KEY, configFor, startApi, type ApiFixture } from './api-fixture.js';

const PORTAL = 'https://portal.example.com';
const METRICS_KEY = randomBytes(24).toString('hex');
let fixture: ApiFixture;
/** With CORS, HSTS and metrics on a port of its own. */
let open: Api;
let database: Awaited<ReturnType<typeof createTestDatabase>>;
beforeAll(async () => {
  fixture = await startApi();
  database = await createTestDatabase();
  open = await createApi(
    configFor(database.url, {
      POSTHORN_CORS_ORIGINS: `${PORTAL}, http://localhost:5173`,
      POSTHORN_HSTS: 'true',
      METRICS_PORT: '0',
      POSTHORN_METRICS_KEY: METRICS_KEY,
    }),
  );
});
afterAll(async () => {
  await open?.close();
  await database?.drop();
  await fixture?.stop();
});

describe('every answer', () => {
  it.each([
    ['a list', 'GET', '/v1/subscribers', 200],
    ['a refusal', 'GET', '/v1/subscribers?limit=0', 400],
    ['an unknown route', 'GET', '/nothing', 404],
    ['a path that is none', 'GET', '/v1/%zz', 400],
    ['a wrong method', 'PUT', '/v1/subscribers', 405],
    ['health', 'GET', '/health/ready', 200],
    ['the document', 'GET', '/openapi.json', 200],
    ['metrics', 'GET', '/metrics', 200],
  ])('%s may not be sniffed, framed, kept, run or referred to', async (_, method, path, status) => {
    const { status: given, headers } = await fixture.call(method, path);
    expect(given).toBe(status);
    expect(Object.fromEntries(headers)).toMatchObject({
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'x-frame-options': 'DENY',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'cross-origin-resource-policy': 'same-origin',
      'cache-control': 'no-store',
    });
    for (const absent of [
      'server',
      'x-powered-by',
      'access-control-allow-origin',
      'strict-transport-security',
    ])
      expect(headers.has(absent), absent).toBe(false);
  });

  it('of the documentation runs scripts of ours only', async () => {
    const page = await fixture.call('GET', '/docs');
    const policy = page.headers.get('content-security-policy')!;
    expect(policy).toMatch(/default-src 'none'; script-src 'self';/);
    expect(policy).toMatch(/frame-ancestors 'none'/);
    expect(policy).not.toMatch(/script-src[^;]*unsafe|\*/);
    expect(page.headers.get('cross-origin-opener-policy')).toBe('same-origin');
    expect(page.text).not.toMatch(/<script(?![^>]* src=)|\son\w+=/);
    // A file of the page is as well guarded as the page.
    const script = await fixture.call('GET', '/docs/swagger-ui-init.js');
    expect([script.status, script.headers.get('x-content-type-options')]).toEqual([200, 'nosniff']);
  });

  it('asks for https where it was told so, by its configuration or by a proxy that it trusts', async () => {
    const hsts = async ({ url }: Api) =>
      (await fetch(`${url}/docs`, { headers: { 'x-forwarded-proto': 'https' } })).headers.get(
        'strict-transport-security',
      );
    expect(await hsts(open)).toBe('max-age=31536000');
    expect(await hsts(fixture.api)).toBeNull();
    const behind = await createApi(configFor(database.url, { POSTHORN_TRUSTED_PROXIES: '127.0.0.0/8' }));
    try {
      expect(await hsts(behind)).toBe('max-age=31536000');
    } finally {
      await behind.close();
    }
  });
});

describe('pages of other origins', () => {
  const preflight = (api: string, origin: string, path = '/v1/events') =>
    fetch(api + path, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type',
      },
    });
  const allowOrigin = ({ headers }: Response) => headers.get('access-control-allow-origin');

  it('may nothing unless their origin is named', async () => {
    for (const [api, origin] of [
      [fixture.api.url, PORTAL],
      [open.url, 'https://evil.example.com'],
      [open.url, `${PORTAL}.evil.example`],
      [open.url, 'null'],
      [open.url, 'https://portal.example.com:8443'],
    ]) {
      const asked = await preflight(api, origin);
      expect([asked.status, allowOrigin(asked)], origin).toEqual([405, null]);
      const read = await fetch(`${api}/v1/subscribers`, {
        headers: { origin, authorization: `Bearer ${ADMIN_KEY}` },
      });
      expect([read.status, allowOrigin(read)], origin).toEqual([200, null]);
    }
  });

  it('may call the API when it is, without credentials of the browser', async () => {
    const asked = await preflight(open.url, PORTAL);
    expect(asked.status).toBe(204);
    expect(Object.fromEntries(asked.headers)).toMatchObject({
      'access-control-allow-origin': PORTAL,
      'access-control-allow-methods': 'GET, HEAD, POST',
      'access-control-allow-headers': expect.stringContaining('authorization'),
      vary: 'origin',
    });
    expect(asked.headers.has('access-control-allow-credentials')).toBe(false);
    // Refusals too: a page must be able to read why.
    for (const [key, status] of [
      [ADMIN_KEY, 200],
      ['wrong', 401],
    ] as const) {
      const read = await fetch(`${open.url}/v1/subscribers`, {
        headers: { origin: 'http://localhost:5173', authorization: `Bearer ${key}` },
      });
      expect([read.status, allowOrigin(read)]).toEqual([status, 'http://localhost:5173']);
      expect(read.headers.get('access-control-expose-headers')).toMatch(/ratelimit/);
    }
    expect((await preflight(open.url, PORTAL, '/v1/nothing')).status).toBe(404);
    // Nothing but the API: metrics and documentation are not for pages.
    for (const path of ['/metrics', '/docs', '/openapi.json'])
      expect(allowOrigin(await fetch(open.url + path, { headers: { origin: PORTAL } })), path).toBeNull();
  });
});

describe('metrics', () => {
  const scrape = (url: string, key?: string) =>
    fetch(`${url}/metrics`, { headers: key === undefined ? {} : { authorization: `Bearer ${key}` } });

  it('at the port of the api need a key with the scope, bound to nobody', async () => {
    const { body: subscriber } = await fixture.call('POST', '/v1/subscribers', { name: 'bound' });
    const keys = {
      'metrics:read': await fixture.key(['metrics:read']),
      'subscribers:read': await fixture.key(['subscribers:read']),
      bound: await fixture.key(['admin'], subscriber.id),
    };
    const { url } = fixture.api;
    expect((await scrape(url)).status).toBe(401);
    expect((await scrape(url, METRICS_KEY)).status).toBe(401);
    expect((await scrape(url, keys['subscribers:read'].key)).status).toBe(403);
    expect((await scrape(url, keys.bound.key)).status).toBe(403);
    const read = await scrape(url, keys['metrics:read'].key);
    expect([read.status, await read.text()]).toEqual([200, expect.stringContaining('posthorn_http_request')]);
    // And it opens nothing else.
    expect((await fixture.call('GET', '/v1/subscribers', undefined, keys['metrics:read'])).status).toBe(403);
  });

  it('can be read with POSTHORN_METRICS_KEY, which opens nothing else', async () => {
    expect((await scrape(open.url, METRICS_KEY)).status).toBe(200);
    const other = await fetch(`${open.url}/v1/subscribers`, {
      headers: { authorization: `Bearer ${METRICS_KEY}` },
    });
    expect(other.status).toBe(401);
    const own = `http://127.0.0.1:${open.metricsPort}`;
    expect(open.metricsPort).not.toBe(open.port);
    for (const key of [undefined, ADMIN_KEY, `${METRICS_KEY}x`]) {
      const refused = await scrape(own, key);
      expect([refused.status, await refused.json()]).toEqual([
        401,
        expect.objectContaining({ code: 'unauthenticated' }),
      ]);
    }
    const read = await scrape(own, METRICS_KEY);
    expect([read.status, await read.text()]).toEqual([200, expect.stringContaining('posthorn_http_request')]);
    expect((await fetch(`${own}/v1/subscribers`)).status).toBe(404);
  });
});
