// Real: the api with its HTTP server, PostgreSQL with our migrations.
import { createHash } from 'node:crypto';
import { BODY_BYTES_MAX, EVENT_BODY_BYTES_MAX, JSON_DEPTH_MAX, type ApiScope } from '@app/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type ApiFixture, type Reply } from './api-fixture.js';

let fixture: ApiFixture;
beforeAll(async () => void (fixture = await startApi()));
afterAll(() => fixture?.stop());

const post = (body: unknown, headers?: Record<string, string>) =>
  fixture.call('POST', '/v1/subscribers', body, { headers });

describe('problems', () => {
  it('have one shape, the request id of the asker, and no query in the instance', async () => {
    const reply = await fixture.call('GET', '/v1/subscribers?limit=251', undefined, {
      headers: { 'x-request-id': 'mine-1' },
    });
    expect(reply.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(reply.headers.get('x-request-id')).toBe('mine-1');
    expect(reply.body).toEqual({
      type: 'urn:posthorn:problem:invalid_request',
      title: 'The request is not valid',
      status: 400,
      detail: expect.stringContaining('limit'),
      instance: '/v1/subscribers',
      code: 'invalid_request',
      requestId: 'mine-1',
      errors: [{ pointer: 'limit', detail: expect.stringContaining('250') }],
      limit: 250,
    });
    const made = await fixture.call('GET', '/v1/nothing', undefined, {
      headers: { 'x-request-id': 'not ok' },
    });
    expect(made.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(made.body.requestId).toBe(made.headers.get('x-request-id'));
  });

  it.each<[string, () => Promise<Reply>, number, string]>([
    ['unknown route', () => fixture.call('GET', '/v2/x'), 404, 'not_found'],
    [
      'unknown route without key',
      () => fixture.call('GET', '/v1/x', undefined, { key: '' }),
      404,
      'not_found',
    ],
    ['method', () => fixture.call('PUT', '/v1/subscribers/x', {}), 405, 'method_not_allowed'],
    [
      'media type',
      () => post('a=1', { 'content-type': 'application/x-www-form-urlencoded' }),
      415,
      'unsupported_media_type',
    ],
    ['no body', () => post(undefined), 400, 'invalid_request'],
    ['bad JSON', () => post('{"name": "hunter2'), 400, 'invalid_json'],
    ['array', () => post('[]'), 400, 'invalid_request'],
    ['null', () => post('null'), 400, 'invalid_request'],
    ['byte order mark', () => post('\ufeff{"name":"x"}'), 400, 'invalid_json'],
    ['bad UTF-8', () => post(Buffer.from([0x22, 0xff, 0x22])), 400, 'invalid_json'],
    ['__proto__', () => post('{"name":"x","__proto__":{"a":1}}'), 400, 'invalid_json'],
    ['escaped __proto__', () => post('{"name":"x","metadata":{"\\u005f_proto__":"1"}}'), 400, 'invalid_json'],
    ['constructor', () => post('{"name":"x","constructor":{"prototype":{}}}'), 400, 'invalid_request'],
    ['bad path', () => fixture.call('GET', '/v1/subscribers/%zz'), 400, 'invalid_request'],
    ['limit 0', () => fixture.call('GET', '/v1/subscribers?limit=0'), 400, 'invalid_request'],
    ['limit twice', () => fixture.call('GET', '/v1/subscribers?limit=1&limit=2'), 400, 'invalid_request'],
    ['unknown parameter', () => fixture.call('GET', '/v1/subscribers?sort=name'), 400, 'invalid_request'],
    ['cursor', () => fixture.call('GET', '/v1/subscribers?cursor=x'), 400, 'invalid_cursor'],
  ])('%s', async (_, ask, status, code) => {
    const reply = await ask();
    expect(reply.body).toMatchObject({ status, code });
    expect(reply.status).toBe(status);
    expect(reply.text).not.toContain('hunter2');
  });

  it('say the limit when a body is too large or too deep, and a 405 what is allowed', async () => {
    expect((await post(`{"name":"${'x'.repeat(BODY_BYTES_MAX)}"}`)).body).toMatchObject({
      status: 413,
      code: 'payload_too_large',
      limit: BODY_BYTES_MAX,
    });
    const event = await fixture.call('POST', '/v1/events', `{"data":"${'x'.repeat(EVENT_BODY_BYTES_MAX)}"}`);
    expect(event.body).toMatchObject({ status: 413, limit: EVENT_BODY_BYTES_MAX });
    const deep = `{"name":${'['.repeat(60_000)}${']'.repeat(60_000)}}`;
    expect((await post(deep)).body).toMatchObject({
      status: 400,
      code: 'invalid_json',
      limit: JSON_DEPTH_MAX,
    });
    expect((await post({ name: 'x'.repeat(257) })).body).toMatchObject({
      code: 'invalid_request',
      limit: 256,
    });
    expect((await fixture.call('PUT', '/v1/subscribers')).headers.get('allow')).toBe('GET, HEAD, POST');
  });
});

describe('lists', () => {
  it('page by opaque cursors, each row once, with a Link to the next page', async () => {
    for (let n = 0; n < 5; n++) await post({ name: `page ${n}` });
    const seen: string[] = [];
    for (let path: string | undefined = '/v1/subscribers?limit=2'; path;) {
      const reply: Reply = await fixture.call('GET', path);
      seen.push(...reply.body.data.map((each: { id: string }) => each.id));
      const link = reply.headers.get('link');
      expect(link === null).toBe(reply.body.nextCursor === null);
      path = link === null ? undefined : /^<([^>]+)>; rel="next"$/.exec(link)![1];
      if (path) expect(path).toContain(`cursor=${reply.body.nextCursor}`);
    }
    expect(seen.length).toBeGreaterThanOrEqual(5);
    expect(seen).toEqual([...new Set(seen)].sort().reverse());
  });
});

describe('idempotency', () => {
  const key = (text: string) => ({ 'idempotency-key': text });

  it('repeats the first answer, byte for byte, and does nothing; quoted and plain are the same key', async () => {
    const first = await post({ name: 'once' }, key('k-1'));
    const again = await post({ name: 'once' }, key('"k-1"'));
    expect(again.text).toBe(first.text);
    expect([first.status, again.status]).toEqual([201, 201]);
    expect([first.headers.get('idempotency-replayed'), again.headers.get('idempotency-replayed')]).toEqual([
      null,
      'true',
    ]);
    expect(again.headers.get('content-type')).toBe(first.headers.get('content-type'));
    // Other bytes, another path, another caller.
    expect((await post({ name: 'other' }, key('k-1'))).body).toMatchObject({
      status: 422,
      code: 'idempotency_key_reused',
    });
    expect(
      (await fixture.call('POST', '/v1/event-types', { name: 'once' }, { headers: key('k-1') })).status,
    ).toBe(201);
    const other = await fixture.key(['subscribers:write']);
    const theirs = await fixture.call(
      'POST',
      '/v1/subscribers',
      { name: 'once' },
      { key: other.key, headers: key('k-1') },
    );
    expect(theirs.body.id).not.toBe(first.body.id);
  });

  it('forgets a refused request, and refuses a key that is none', async () => {
    expect((await post({ name: '' }, key('k-2'))).status).toBe(400);
    expect((await post({ name: 'x' }, key('k-2'))).status).toBe(201);
    for (const wrong of ['', 'a b', '"', 'x'.repeat(256), 'é'])
      expect((await post({ name: 'x' }, key(wrong))).body.code, wrong).toBe('invalid_idempotency_key');
  });

  it('answers 409 while the first runs', async () => {
    const { id } = (await post({ name: 'slow' })).body;
    const path = `/v1/subscribers/${id}/endpoints`;
    const ask = () => fixture.call('POST', path, { url: 'https://a.example' }, { headers: key('k-3') });
    // Holds the row that the first request needs, so that it stands still after its claim.
    const { running: first } = await fixture.api.database.transaction(async (tx) => {
      await tx.query('SELECT 1 FROM subscribers WHERE name = $1 FOR UPDATE', ['slow']);
      const running = ask();
      await untilWaiting();
      const second = await ask();
      expect(second.body).toMatchObject({ status: 409, code: 'idempotency_key_in_use' });
      expect(second.headers.get('retry-after')).toBe('1');
      return { running };
    });
    const done = await first;
    expect(done.status).toBe(201);
    expect((await ask()).text).toBe(done.text);
  });

  async function untilWaiting(): Promise<void> {
    for (;;) {
      const rows = await fixture.api.database.query(
        `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      if (rows.length > 0) return;
    }
  }
});

describe('keys', () => {
  it('are kept as hashes only, and everything that changes something is in the audit log', async () => {
    const { key } = await fixture.key(['subscribers:write']);
    expect(key).toMatch(/^ph_live_[0-9a-z]{26}_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}$/);
    const made = await fixture.call(
      'POST',
      '/v1/subscribers',
      { name: 'audited' },
      { key, headers: { 'x-request-id': 'audit-1' } },
    );
    const rows = await fixture.api.database.query<{ key_hash: Buffer; row: string }>(
      'SELECT key_hash, k::text AS row FROM api_keys k',
    );
    expect(rows.some((row) => row.key_hash.equals(createHash('sha256').update(key).digest()))).toBe(true);
    expect(rows.every((row) => !row.row.includes(key.slice(40)))).toBe(true);
    expect(
      await fixture.api.database.query(
        `SELECT action, object, ip FROM audit_log WHERE request_id = 'audit-1'`,
      ),
    ).toEqual([{ action: 'subscriber.create', object: made.body.id, ip: '127.0.0.1' }]);
    expect(JSON.stringify(fixture.lines)).not.toContain(key);
    expect(fixture.lines).toContainEqual(
      expect.objectContaining({
        message: 'request.handled',
        route: '/v1/subscribers',
        status: 201,
        requestId: 'audit-1',
      }),
    );
  });

  it('that are missing, wrong, expired or revoked are 401; a revocation is felt within two seconds', async () => {
    for (const key of ['', 'x', 'ph_live_x', `${(await fixture.key(['admin'])).key}x`]) {
      const reply = await fixture.call('GET', '/v1/subscribers', undefined, { key });
      expect(reply.body).toMatchObject({ status: 401, code: 'unauthenticated' });
      expect(reply.headers.get('www-authenticate')).toMatch(/^Bearer/);
    }
    const { key } = await fixture.key(['admin']);
    const ask = () => fixture.call('GET', '/v1/subscribers', undefined, { key });
    expect((await ask()).status).toBe(200);
    await fixture.api.database.query('UPDATE api_keys SET revoked_at = now() WHERE key_hash = $1', [
      createHash('sha256').update(key).digest(),
    ]);
    const revokedAt = performance.now();
    while ((await ask()).status === 200) expect(performance.now() - revokedAt).toBeLessThan(2000);
    const expired = await fixture.key(['admin']);
    await fixture.api.database.query('UPDATE api_keys SET expires_at = now() WHERE key_hash = $1', [
      createHash('sha256').update(expired.key).digest(),
    ]);
    expect((await fixture.call('GET', '/v1/subscribers', undefined, expired)).status).toBe(401);
  });

  it('do what their scopes say and no more', async () => {
    const { id } = (await post({ name: 'scoped' })).body;
    const endpoint = (
      await fixture.call('POST', `/v1/subscribers/${id}/endpoints`, { url: 'https://a.example' })
    ).body.id;
    const e = `/v1/subscribers/${id}/endpoints/${endpoint}`;
    const routes: [ApiScope, string, string, unknown?][] = [
      ['subscribers:read', 'GET', '/v1/subscribers'],
      ['subscribers:read', 'GET', `/v1/subscribers/${id}`],
      ['subscribers:write', 'POST', '/v1/subscribers', { name: 'x' }],
      ['subscribers:write', 'PATCH', `/v1/subscribers/${id}`, {}],
      ['endpoints:read', 'GET', `/v1/subscribers/${id}/endpoints`],
      ['endpoints:read', 'GET', e],
      ['endpoints:read', 'GET', '/v1/event-types'],
      ['endpoints:write', 'POST', `/v1/subscribers/${id}/endpoints`, { url: 'https://a.example' }],
      ['endpoints:write', 'PATCH', e, {}],
      ...['disable', 'enable', 'pause', 'resume', 'secret/rotate'].map(
        (action): [ApiScope, string, string] => ['endpoints:write', 'POST', `${e}/${action}`],
      ),
      ['secrets:read', 'GET', `${e}/secret`],
      ['admin', 'POST', '/v1/event-types', { name: 'scoped.type' }],
      ['admin', 'PATCH', '/v1/event-types/scoped.type', {}],
      ['admin', 'DELETE', '/v1/event-types/scoped.type'],
      ['endpoints:write', 'DELETE', e],
      ['subscribers:write', 'DELETE', `/v1/subscribers/${id}`],
    ];
    const scopes = [
      'subscribers:read',
      'subscribers:write',
      'endpoints:read',
      'endpoints:write',
      'secrets:read',
      'events:write',
      'admin',
    ] as const;
    const keys = new Map<ApiScope, string>();
    for (const scope of scopes) keys.set(scope, (await fixture.key([scope])).key);
    for (const [needed, method, path, body] of routes) {
      for (const scope of scopes.filter((each) => each !== needed && each !== 'admin'))
        expect(
          (await fixture.call(method, path, body, { key: keys.get(scope)! })).body,
          `${scope}: ${method} ${path}`,
        ).toMatchObject({ status: 403, code: 'forbidden' });
      expect(
        (await fixture.call(method, path, body, { key: keys.get(needed)! })).status,
        `${needed}: ${method} ${path}`,
      ).toBeLessThan(300);
    }
  });

  it('bound to one subscriber see of another exactly what they see of nobody', async () => {
    const mine = (await post({ name: 'mine', externalId: 'mine' })).body;
    const other = (await post({ name: 'other', externalId: 'other' })).body;
    const theirs = (
      await fixture.call('POST', '/v1/subscribers/other/endpoints', { url: 'https://b.example' })
    ).body;
    const { key } = await fixture.key(['admin'], mine.id);
    const as = (method: string, path: string, body?: unknown) => fixture.call(method, path, body, { key });
    const blank = ({ body, status }: Reply) => ({ status, ...body, instance: '', requestId: '' });

    expect((await as('GET', '/v1/subscribers')).body.data).toEqual([mine]);
    for (const [foreign, absent] of [
      [other.id, mine.id.replace(/.{4}$/, '0000')],
      ['other', 'nobody'],
    ]) {
      for (const [method, rest, body] of [
        ['GET', ''],
        ['PATCH', '', { name: 'x' }],
        ['DELETE', ''],
        ['GET', '/endpoints'],
        ['POST', '/endpoints', { url: 'https://a.example' }],
        ['GET', `/endpoints/${theirs.id}`],
        ['PATCH', `/endpoints/${theirs.id}`, {}],
        ['DELETE', `/endpoints/${theirs.id}`],
        ['GET', `/endpoints/${theirs.id}/secret`],
        ['POST', `/endpoints/${theirs.id}/secret/rotate`],
        ['POST', `/endpoints/${theirs.id}/disable`],
      ] as [string, string, unknown?][]) {
        const reply = await as(method, `/v1/subscribers/${foreign}${rest}`, body);
        expect(blank(reply), `${method} ${rest}`).toEqual(
          blank(await as(method, `/v1/subscribers/${absent}${rest}`, body)),
        );
        expect(reply.status).toBe(404);
      }
    }
    // Their endpoint under my name is nobody's either.
    expect((await as('GET', `/v1/subscribers/mine/endpoints/${theirs.id}`)).status).toBe(404);
    expect((await as('POST', '/v1/subscribers', { name: 'x' })).status).toBe(403);
    expect((await as('POST', '/v1/event-types', { name: 'x' })).status).toBe(403);
    expect((await as('PATCH', '/v1/subscribers/mine', { name: 'still mine' })).status).toBe(200);
  });
});
