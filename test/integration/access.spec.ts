// Real: two apis with their HTTP servers on one PostgreSQL, as behind a load balancer, and a third one behind a proxy that it
// trusts. Who may do what: keys, their networks and their rotation; what customers' tokens reach and when they end.
import { readFileSync } from 'node:fs';
import { SCOPES, TOKEN_SCOPES, type ApiScope } from '@app/contracts';
import { newId, systemRandom } from '@app/domain';
import { makeKeyText } from '@app/endpoints';
import { accessTokensRepository, ApiKeysRepository } from '@app/persistence';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApi, type Api } from '../../apps/api/src/create-api.js';
import { configFor, startApi, type ApiFixture, type Reply } from './api-fixture.js';
import { MATRIX } from './authorization-matrix.rows.js';
import { makeWorld, noWorld, type World } from './authorization-matrix.world.js';

// Whether a key has ended is asked again and again.
const UNLIMITED = {
  POSTHORN_RATE_LIMIT_KEY: '0',
  POSTHORN_RATE_LIMIT_ADDRESS: '0',
  POSTHORN_RATE_LIMIT_CUSTOMER: '0',
};
let fixture: ApiFixture;
let second: Api;
let behindProxy: Api;
let world: World;
let other: World;

beforeAll(async () => {
  fixture = await startApi(UNLIMITED);
  second = await createApi(configFor(fixture.databaseUrl, UNLIMITED));
  behindProxy = await createApi(
    configFor(fixture.databaseUrl, { ...UNLIMITED, POSTHORN_TRUSTED_PROXIES: '127.0.0.0/8' }),
  );
  await fixture.call('POST', '/v1/event-types', { name: 'thing.happened' });
  [world, other] = await Promise.all([makeWorld(fixture), makeWorld(fixture)]);
});
afterAll(async () => {
  await second?.close();
  await behindProxy?.close();
  await fixture?.stop();
});

const OPEN = '/v1/event-types?limit=1';
const asAt = (url: string, key: string, headers: Record<string, string> = {}) =>
  fetch(url + OPEN, { headers: { authorization: `Bearer ${key}`, ...headers } });
const statusAt = async (url: string, key: string, headers?: Record<string, string>) =>
  (await asAt(url, key, headers)).status;
const newKey = async (more: object = {}): Promise<{ id: string; key: string }> => {
  const made = await fixture.call('POST', '/v1/api-keys', {
    name: 'test',
    scopes: ['endpoints:read'],
    ...more,
  });
  expect(made.status, made.text).toBe(201);
  return made.body;
};
const newToken = async (subscriber: string, more: object = {}): Promise<{ id: string; token: string }> => {
  const made = await fixture.call('POST', `/v1/subscribers/${subscriber}/access-tokens`, more);
  expect(made.status, made.text).toBe(201);
  return made.body;
};

/** All of them are let in by both apis, which remember that; after `end` both refuse them, within two seconds. */
async function endsEverywhere(texts: string[], end: () => Promise<Reply>): Promise<void> {
  const asked = texts.flatMap((text) => [fixture.api.url, second.url].map((url) => ({ url, text })));
  for (const { url, text } of asked) expect(await statusAt(url, text)).toBe(200);
  expect((await end()).status).toBeLessThan(300);
  const endedAt = performance.now();
  for (const { url, text } of asked)
    while ((await statusAt(url, text)) === 200) expect(performance.now() - endedAt).toBeLessThan(2000);
  for (const { url, text } of asked) expect(await statusAt(url, text)).toBe(401);
}

describe('an API key', () => {
  it('is revoked within two seconds in every process, with both its texts', async () => {
    const { id, key } = await newKey();
    const rotated = await fixture.call('POST', `/v1/api-keys/${id}/rotate`);
    await endsEverywhere([key, rotated.body.key], () => fixture.call('DELETE', `/v1/api-keys/${id}`));
    const again = await fixture.call('DELETE', `/v1/api-keys/${id}`);
    expect(again.status).toBe(204);
    expect((await fixture.call('POST', `/v1/api-keys/${id}/rotate`)).body.code).toBe('conflict');
  });

  it('rotates: two texts are good at most, one with overlap 0, and the old one ends by itself', async () => {
    const { id, key } = await newKey();
    const rotate = (body?: object) => fixture.call('POST', `/v1/api-keys/${id}/rotate`, body);
    const first = await rotate({ overlapSeconds: 3600 });
    expect(first.status, first.text).toBe(200);
    expect(first.body).toMatchObject({ id, key: expect.stringMatching(/^ph_live_/) });
    expect(Date.parse(first.body.previousEndsAt) - Date.now()).toBeGreaterThan(3_500_000);
    for (const text of [key, first.body.key]) expect(await statusAt(second.url, text)).toBe(200);

    expect((await rotate({ overlapSeconds: 60 })).body).toMatchObject({ code: 'limit_reached', limit: 2 });
    let last: string;
    await endsEverywhere([key, first.body.key], async () => {
      const reply = await rotate({ overlapSeconds: 0 });
      last = reply.body.key;
      return reply;
    });
    expect(await statusAt(second.url, last!)).toBe(200);

    const next = await rotate({ overlapSeconds: 604_800 });
    await fixture.api.database.query(
      `UPDATE api_keys SET previous_ends_at = now() WHERE previous_ends_at IS NOT NULL`,
    );
    expect(await statusAt(behindProxy.url, last!)).toBe(401);
    expect(await statusAt(behindProxy.url, next.body.key)).toBe(200);
    expect((await rotate({ overlapSeconds: 604_801 })).body).toMatchObject({ limit: 604_800 });
  });

  it('that is an operator’s own is not rotated here', async () => {
    const { body } = await fixture.call('GET', '/v1/api-keys?limit=250');
    const own = (body.data as { id: string; name: string }[]).find(
      (key) => key.name === 'POSTHORN_ADMIN_KEY',
    );
    expect((await fixture.call('POST', `/v1/api-keys/${own?.id}/rotate`)).body).toMatchObject({
      code: 'conflict',
      detail: expect.stringContaining('POSTHORN_ADMIN_KEY'),
    });
  });

  it('is good only where it may be used from, by the address that may be believed', async () => {
    const { key } = await newKey({ allowedIps: ['192.0.2.0/24', '2001:db8::/32'] });
    const from = (address: string) => statusAt(behindProxy.url, key, { 'x-forwarded-for': address });
    expect(await from('192.0.2.200')).toBe(200);
    expect(await from('::ffff:192.0.2.7')).toBe(200);
    expect(await from('2001:db8:5::1')).toBe(200);
    expect(await from('198.51.100.1, 192.0.2.7')).toBe(200);
    for (const address of ['192.0.3.1', '2001:db9::1', '192.0.2.7, 198.51.100.1', 'x', '127.0.0.1'])
      expect(await from(address), address).toBe(401);
    // Nobody's word is taken where no proxy is trusted: the socket is of loopback.
    expect(await statusAt(second.url, key, { 'x-forwarded-for': '192.0.2.7' })).toBe(401);
    const { key: local } = await newKey({ allowedIps: ['127.0.0.1'] });
    expect(await statusAt(second.url, local)).toBe(200);

    for (const wrong of [
      '192.0.2.1/24',
      '::ffff:192.0.2.0/120',
      '',
      'a,b',
      '10.0.0.0/8 192.0.2.0/24',
      'example.com',
    ])
      expect(
        (await fixture.call('POST', '/v1/api-keys', { name: 'x', scopes: ['admin'], allowedIps: [wrong] }))
          .body,
        wrong,
      ).toMatchObject({ code: 'invalid_request', errors: [{ pointer: '/allowedIps/0' }] });
  });

  it('tells when and from where it was last used', async () => {
    const { id, key } = await newKey();
    expect(await statusAt(behindProxy.url, key, { 'x-forwarded-for': '198.51.100.9' })).toBe(200);
    await expect
      .poll(async () => (await fixture.call('GET', `/v1/api-keys/${id}`)).body)
      .toMatchObject({ lastUsedIp: '198.51.100.9', lastUsedAt: expect.stringMatching(/Z$/) });
  });

  it('is shown by one answer: not by a repeated one, and no table holds it', async () => {
    const headers = { 'idempotency-key': 'make-a-key' };
    const body = { name: 'once', scopes: ['endpoints:read'] };
    const first = await fixture.call('POST', '/v1/api-keys', body, { headers });
    const again = await fixture.call('POST', '/v1/api-keys', body, { headers });
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(again.body).toEqual({ ...first.body, key: null });
    const rotated = await fixture.call('POST', `/v1/api-keys/${first.body.id}/rotate`, {}, { headers });
    const token = await fixture.call(
      'POST',
      `/v1/subscribers/${world.subscriber}/access-tokens`,
      {},
      { headers },
    );
    expect(token.status, token.text).toBe(201);
    const lists = await Promise.all(
      [
        '/v1/api-keys?limit=250',
        `/v1/subscribers/${world.subscriber}/access-tokens`,
        '/v1/audit-log?limit=250',
      ].map((path) => fixture.call('GET', path)),
    );
    const rows = await fixture.api.database.query<{ row: string }>(
      `SELECT row::text FROM (SELECT k::text FROM api_keys k UNION ALL SELECT t::text FROM access_tokens t
         UNION ALL SELECT a::text FROM audit_log a UNION ALL SELECT i::text FROM idempotency_keys i) AS all_rows (row)`,
    );
    const everything = JSON.stringify([rows, fixture.lines, lists.map(({ text }) => text)]);
    for (const text of [first.body.key, rotated.body.key, token.body.token] as string[]) {
      expect(text.length).toBeGreaterThan(80);
      // Its secret part: the id is no secret.
      expect(everything).not.toContain(text.slice(-49));
    }
  });

  it('is refused in the same words, whatever is wrong with it, and nowhere but in its header taken', async () => {
    const revoked = await newKey();
    await fixture.call('DELETE', `/v1/api-keys/${revoked.id}`);
    const elsewhere = await newKey({ allowedIps: ['192.0.2.0/24'] });
    const expired = await newKey({ expiresInSeconds: 60 });
    await fixture.api.database.query('UPDATE api_keys SET expires_at = now() WHERE expires_at IS NOT NULL');
    const nobodys = newId(Date.now(), systemRandom);
    const texts = {
      unknown: makeKeyText('key', 'live', nobodys, systemRandom),
      'of an unknown token': makeKeyText('token', 'live', nobodys, systemRandom),
      'another secret': `${revoked.key.slice(0, 40)}x`,
      'of another environment': makeKeyText('key', 'test', nobodys, systemRandom),
      mistyped: `${(await newKey()).key.slice(0, -1)}!`,
      revoked: revoked.key,
      'from elsewhere': elsewhere.key,
      expired: expired.key,
    };
    const faces = await Promise.all(
      Object.entries(texts).map(async ([what, key]) => {
        const { status, headers, body } = await fixture.call('GET', OPEN, undefined, { key });
        const constant = [...headers].filter(([name]) => !/^(date|x-request-id)$/.test(name));
        return { what, status, headers: constant, body: { ...body, requestId: '' } };
      }),
    );
    for (const { what, ...face } of faces) expect({ what, ...face }).toEqual({ ...faces[0], what });
    expect(faces[0].status).toBe(401);

    const { key } = await newKey({ scopes: ['admin'] });
    for (const name of ['key', 'api_key', 'apiKey', 'access_token', 'token', 'authorization'])
      expect((await fixture.call('GET', `${OPEN}&${name}=${key}`, undefined, { key: '' })).status).toBe(401);
    const headers = { 'content-type': 'application/x-www-form-urlencoded', 'x-api-key': key };
    expect(
      (await fixture.call('POST', '/v1/subscribers', { name: 'x', access_token: key }, { key: '' })).status,
    ).toBe(401);
    expect(
      (await fixture.call('POST', '/v1/subscribers', `access_token=${key}`, { key: '', headers })).status,
    ).toBe(401);
  });

  it('takes no field that is not its maker’s to choose', async () => {
    for (const field of [
      'id',
      'key',
      'keyHash',
      'hash',
      'chosen',
      'createdAt',
      'revokedAt',
      'lastUsedAt',
      'subscriberId',
    ])
      expect(
        (await fixture.call('POST', '/v1/api-keys', { name: 'x', scopes: ['admin'], [field]: 'x' })).body,
        field,
      ).toMatchObject({ code: 'invalid_request', errors: [{ pointer: `/${field}` }] });
    for (const field of ['id', 'token', 'subscriber', 'expiresAt', 'scopes'])
      expect(
        (await fixture.call('POST', `/v1/subscribers/${world.subscriber}/access-tokens`, { [field]: 'x' }))
          .body,
        field,
      ).toMatchObject({ code: 'invalid_request', errors: [{ pointer: `/${field}` }] });
    expect(
      (await fixture.call('POST', '/v1/api-keys', { name: 'x', scopes: ['everything'] })).body,
    ).toMatchObject({ code: 'invalid_request' });
    expect(
      (await fixture.call('POST', '/v1/api-keys', { name: 'x', scopes: ['admin'], subscriber: 'nobody' }))
        .body,
    ).toMatchObject({ code: 'unknown_subscriber' });
  });

  it('has no more to give than it has', async () => {
    // No scope but admin reaches keys, and no key that is bound to a subscriber, whatever its scopes.
    for (const scopes of [SCOPES.filter((scope) => scope !== 'admin'), ['admin' as const]]) {
      const { key } = await newKey({ scopes, subscriber: world.subscriber });
      const made = await fixture.call(
        'POST',
        '/v1/api-keys',
        { name: 'x', scopes: ['events:write'] },
        { key },
      );
      expect(made.body.code).toBe('forbidden');
      for (const path of [`/v1/api-keys/${world.key}/rotate`, `/v1/api-keys/${other.key}/rotate`])
        expect((await fixture.call('POST', path, {}, { key })).body.code).toBe('forbidden');
    }
    for (const mode of ['read', 'manage'] as const)
      for (const missing of TOKEN_SCOPES[mode]) {
        const scopes = ['tokens:write', ...TOKEN_SCOPES[mode].filter((scope) => scope !== missing)];
        const { key } = await newKey({ scopes });
        const made = await fixture.call(
          'POST',
          `/v1/subscribers/${world.subscriber}/access-tokens`,
          { mode },
          { key },
        );
        expect(made.body, `${mode} without ${missing}`).toMatchObject({
          code: 'forbidden',
          detail: expect.stringContaining(missing),
        });
      }
    const { key } = await newKey({
      scopes: ['tokens:write', ...TOKEN_SCOPES.manage],
      subscriber: world.subscriber,
    });
    const make = (subscriber: string) =>
      fixture.call('POST', `/v1/subscribers/${subscriber}/access-tokens`, { mode: 'manage' }, { key });
    expect((await make(world.subscriber)).status).toBe(201);
    expect((await make(other.subscriber)).body.code).toBe('not_found');
  });
});

describe("a customer's access token", () => {
  const document = JSON.parse(readFileSync('openapi.json', 'utf8')) as {
    paths: Record<string, Record<string, { 'x-open-to-customers'?: boolean; 'x-required-scope'?: ApiScope }>>;
  };
  const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      route: `${method.toUpperCase()} ${path}`,
      isOpen: operation['x-open-to-customers'] === true,
      scope: operation['x-required-scope'],
    })),
  );

  it('reaches what the matrix says and nothing else, on every route of the contract', async () => {
    const tokens = {
      read: await newToken(world.subscriber),
      manage: await newToken(world.subscriber, { mode: 'manage' }),
    };
    const wrong: string[] = [];
    for (const { route, isOpen, scope } of routes) {
      const row = MATRIX[route];
      if (row === undefined) {
        if (isOpen || scope !== undefined) wrong.push(`${route} has no row`);
        continue;
      }
      if (isOpen !== (row.customer !== 'none')) wrong.push(`${route} is open to customers: ${isOpen}`);
      const [method, template] = route.split(' ') as [string, string];
      // Nothing is there below its own subscriber: what it may ask for is not found, and nothing is changed.
      const ids = { ...noWorld(), name: 'no.such.type', subscriber: world.subscriber } as Record<
        string,
        string
      >;
      const path = template.replace(/\{(\w+)\}/g, (_, name: string) => ids[name]);
      for (const mode of ['read', 'manage'] as const) {
        const may = isOpen && TOKEN_SCOPES[mode].includes(scope!);
        const isFor = row.customer === 'read' || (row.customer === 'manage' && mode === 'manage');
        if (may !== isFor) wrong.push(`${route}: ${mode} should be ${isFor ? 'enough' : 'refused'}`);
        const body = method === 'GET' ? undefined : (row.body?.(world) ?? {});
        const { status } = await fixture.call(method, path, body, { key: tokens[mode].token });
        if ((status === 403) === may || status === 401) wrong.push(`${route} with ${mode}: ${status}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(routes.length).toBeGreaterThan(40);
  });

  it('sees its own subscriber and of another what it sees of nobody', async () => {
    const { token: key } = await newToken(world.subscriber, { mode: 'manage' });
    const of = ({ subscriber, endpoint, event, delivery, replay }: typeof world) => [
      ['GET', `/v1/subscribers/${subscriber}`],
      ['GET', `/v1/subscribers/${subscriber}/endpoints`],
      ['GET', `/v1/subscribers/${subscriber}/endpoints/${endpoint}`],
      ['GET', `/v1/subscribers/${subscriber}/endpoints/${endpoint}/secret`],
      ['POST', `/v1/subscribers/${subscriber}/endpoints/${endpoint}/pause`],
      ['GET', `/v1/events/${event}`],
      ['GET', `/v1/deliveries/${delivery}`],
      ['GET', `/v1/replays/${replay}`],
    ];
    for (const [method, path] of of(world))
      expect((await fixture.call(method, path, undefined, { key })).status, path).toBe(200);
    const theirs = of(other);
    const nobodys = of({ ...world, ...noWorld() });
    for (const [at, [method, path]] of theirs.entries()) {
      const [seen, unseen] = await Promise.all(
        [path, nobodys[at][1]].map((each) => fixture.call(method, each, undefined, { key })),
      );
      expect(seen.status, path).toBe(404);
      expect({ ...seen.body, instance: '', requestId: '' }).toEqual({
        ...unseen.body,
        instance: '',
        requestId: '',
      });
    }
    for (const list of ['/v1/deliveries', '/v1/events', '/v1/replays']) {
      const { text } = await fixture.call('GET', list, undefined, { key });
      expect(text).toContain(world.subscriber);
      for (const trace of other.traces) expect(text).not.toContain(trace);
    }
  });

  it('lives for an hour unless told otherwise, from a minute to a day, and ends by itself', async () => {
    const path = `/v1/subscribers/${world.subscriber}/access-tokens`;
    const made = await fixture.call('POST', path, {});
    expect(made.body).toMatchObject({ mode: 'read', subscriber: world.subscriber, description: '' });
    expect(made.body.token).toMatch(/^pht_live_/);
    const lives = (Date.parse(made.body.expiresAt) - Date.parse(made.body.createdAt)) / 1000;
    expect(lives).toBe(3600);
    for (const expiresInSeconds of [59, 86_401, 1.5])
      expect((await fixture.call('POST', path, { expiresInSeconds })).body.code).toBe('invalid_request');
    await fixture.api.database.query('UPDATE access_tokens SET expires_at = now()');
    expect(await statusAt(second.url, made.body.token)).toBe(401);
  });

  it('is revoked within two seconds in every process', async () => {
    const { id, token } = await newToken(world.subscriber);
    const path = `/v1/subscribers/${world.subscriber}/access-tokens/${id}`;
    expect((await fixture.call('DELETE', path.replace(world.subscriber, other.subscriber))).body.code).toBe(
      'not_found',
    );
    await endsEverywhere([token], () => fixture.call('DELETE', path));
    const { body } = await fixture.call('GET', path.replace(`/${id}`, ''));
    expect(body.data).toContainEqual(
      expect.objectContaining({ id, revokedAt: expect.stringMatching(/Z$/), lastUsedIp: '127.0.0.1' }),
    );
  });

  it('ends with its subscriber within two seconds, and so does every key that is bound to it', async () => {
    const { body } = await fixture.call('POST', '/v1/subscribers', { name: 'short-lived' });
    const tokens = await Promise.all(['read', 'manage'].map((mode) => newToken(body.id, { mode })));
    const { key } = await newKey({ subscriber: body.id });
    await endsEverywhere([key, ...tokens.map(({ token }) => token)], () =>
      fixture.call('DELETE', `/v1/subscribers/${body.id}`),
    );
  });

  it('is one of a thousand live ones at most', async () => {
    const { body } = await fixture.call('POST', '/v1/subscribers', { name: 'many' });
    await newToken(body.id);
    await fixture.api.database.query(
      `INSERT INTO access_tokens (id, subscriber_id, token_hash, mode, description, expires_at)
       SELECT gen_random_uuid(), t.subscriber_id, t.token_hash, 'read', '', t.expires_at
         FROM access_tokens t JOIN subscribers s ON s.id = t.subscriber_id, generate_series(1, 999) WHERE s.name = 'many'`,
    );
    const path = `/v1/subscribers/${body.id}/access-tokens`;
    expect((await fixture.call('POST', path, {})).body).toMatchObject({ code: 'limit_reached', limit: 1000 });
    await fixture.api.database.query(`UPDATE access_tokens SET revoked_at = now() WHERE subscriber_id IN (
      SELECT id FROM subscribers WHERE name = 'many')`);
    expect((await fixture.call('POST', path, {})).status).toBe(201);
  });

  it('and keys that are over are deleted in their time, but never an operator’s own', async () => {
    const { database } = fixture.api;
    await database.query(
      `INSERT INTO access_tokens (id, subscriber_id, token_hash, mode, description, created_at, expires_at)
       SELECT gen_random_uuid(), id, decode(repeat('00', 32), 'hex'), 'read', 'old', now() - interval '26 hours', now() - interval '25 hours'
         FROM subscribers LIMIT 1`,
    );
    expect(await accessTokensRepository.deleteEnded(database, 100)).toBe(1);
    const old = await newKey({ name: 'old' });
    await database.query(
      `UPDATE api_keys SET revoked_at = now() - interval '401 days' WHERE name = 'old' OR chosen`,
    );
    try {
      expect(await new ApiKeysRepository(database).deleteEnded(400, 100)).toBe(1);
    } finally {
      await database.query('UPDATE api_keys SET revoked_at = NULL WHERE chosen');
    }
    expect(old.id).toMatch(/^key_/);
    expect(await database.query(`SELECT 1 FROM api_keys WHERE name = 'old'`)).toEqual([]);
    expect(await database.query('SELECT 1 FROM api_keys WHERE chosen')).toHaveLength(1);
  });
});
