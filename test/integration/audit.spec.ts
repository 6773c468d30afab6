// Real: the api with its HTTP server, PostgreSQL with our migrations and roles. What the audit log keeps of each act, that no
// secret is in it, who may read it, and that nobody rewrites it.
import { AUDIT_ACTIONS } from '@app/contracts';
import { fromPublicId, newId, systemRandom } from '@app/domain';
import { auditRepository, type Database } from '@app/persistence';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApi } from '../../apps/api/src/create-api.js';
import { openDatabase } from '../support/fixtures.js';
import { ADMIN_KEY, configFor, startApi, type ApiFixture, type Reply } from './api-fixture.js';

let fixture: ApiFixture;
/** As the worker connects: the other role that writes here. */
let worker: Database;
let subscriber: string;

beforeAll(async () => {
  fixture = await startApi({ POSTHORN_RATE_LIMIT_KEY: '0', POSTHORN_RATE_LIMIT_ADDRESS: '0' });
  worker = await openDatabase(fixture.databaseUrl, 'worker');
  await fixture.call('POST', '/v1/event-types', { name: 'thing.happened' });
  subscriber = (await insist('POST', '/v1/subscribers', { name: 'Audited', externalId: 'audited' })).id;
});
afterAll(async () => {
  await worker?.close();
  await fixture?.stop();
});

/** What was generated or given as a secret: none of it may be in the log. */
const secrets: string[] = [];
let requests = 0;

async function send(method: string, path: string, body?: unknown, key = ADMIN_KEY): Promise<Reply> {
  return fixture.call(method, path, body, { key, headers: { 'x-request-id': `audit-${++requests}` } });
}

// oxlint-disable-next-line no-explicit-any
async function insist(method: string, path: string, body?: unknown, key?: string): Promise<any> {
  const reply = await send(method, path, body, key);
  expect(reply.status, `${method} ${path} ${reply.text}`).toBeLessThan(300);
  for (const text of [reply.body?.secret, reply.body?.key, reply.body?.token, ...secretsOf(reply.body?.data)])
    if (typeof text === 'string') secrets.push(text);
  return reply.body;
}

function secretsOf(data: unknown): unknown[] {
  return Array.isArray(data) ? data.map((each: { secret?: unknown }) => each.secret) : [];
}

/** The only row of the request before. */
async function written() {
  const rows = await list('limit=250');
  const own = rows.filter((row) => row.requestId === `audit-${requests}`);
  expect(own).toHaveLength(1);
  return own[0];
}

async function list(query: string, key?: string) {
  const { status, text, body } = await fixture.call('GET', `/v1/audit-log?${query}`, undefined, { key });
  expect(status, text).toBe(200);
  return body.data as {
    id: string;
    actor: { kind: string; id: string };
    action: string;
    object: string;
    subscriber: string | null;
    route: string | null;
    before: unknown;
    after: unknown;
    ip: string | null;
    requestId: string | null;
    at: string;
  }[];
}

describe('every act', () => {
  it('says who, what, whose and from where, and what is now otherwise', async () => {
    const { id: keyId, key } = await insist('POST', '/v1/api-keys', {
      name: 'auditor',
      scopes: ['admin'],
      allowedIps: ['127.0.0.0/8'],
    });
    expect(await written()).toMatchObject({
      action: 'api_key.create',
      object: keyId,
      before: null,
      after: { name: 'auditor', scopes: ['admin'], allowedIps: ['127.0.0.0/8'] },
    });
    await insist('PATCH', '/v1/subscribers/audited', { name: 'Audited 2', metadata: { plan: 'a' } }, key);
    expect(await written()).toEqual({
      id: expect.stringMatching(/^aud_/),
      at: expect.stringMatching(/Z$/),
      actor: { kind: 'key', id: keyId },
      action: 'subscriber.update',
      route: 'PATCH /v1/subscribers/:subscriber',
      object: subscriber,
      subscriber,
      before: { name: 'Audited', metadata: {} },
      after: { name: 'Audited 2', metadata: { plan: 'a' } },
      ip: '127.0.0.1',
      requestId: `audit-${requests}`,
    });
    // What changed nothing was asked for all the same.
    await insist('PATCH', '/v1/subscribers/audited', { name: 'Audited 2' });
    expect(await written()).toMatchObject({ action: 'subscriber.update', before: {}, after: {} });
    await insist('POST', `/v1/api-keys/${keyId}/rotate`, { overlapSeconds: 60 });
    expect(await written()).toMatchObject({
      action: 'api_key.rotate',
      object: keyId,
      after: { rotatedAt: expect.stringMatching(/Z$/), previousEndsAt: expect.stringMatching(/Z$/) },
    });
    await insist('DELETE', `/v1/api-keys/${keyId}`);
    expect(await written()).toMatchObject({
      action: 'api_key.revoke',
      object: keyId,
      after: { revokedAt: expect.stringMatching(/Z$/) },
    });
  });

  it('of a customer names its token, and of an endpoint what changed, but no secret', async () => {
    const { id: tokenId, token } = await insist('POST', '/v1/subscribers/audited/access-tokens', {
      mode: 'manage',
      description: 'portal',
    });
    expect(await written()).toMatchObject({
      action: 'access_token.create',
      object: tokenId,
      subscriber,
      after: { mode: 'manage', description: 'portal' },
    });
    secrets.push('header-secret-1', 'header-secret-2', 'header-secret-3');
    const base = '/v1/subscribers/audited/endpoints';
    const { id } = await insist(
      'POST',
      base,
      {
        url: 'https://hooks.example.com/one',
        headers: { 'x-a': 'header-secret-1', 'x-b': 'header-secret-2' },
      },
      token,
    );
    expect(await written()).toMatchObject({
      actor: { kind: 'token', id: tokenId },
      action: 'endpoint.create',
      object: id,
      subscriber,
      before: null,
      after: { url: 'https://hooks.example.com/one', headers: { 'x-a': '(set)', 'x-b': '(set)' } },
    });
    await insist('PATCH', `${base}/${id}`, {
      url: 'https://hooks.example.com/two',
      headers: { 'x-a': 'header-secret-3', 'x-b': null },
    });
    expect(await written()).toMatchObject({
      action: 'endpoint.update',
      before: { url: 'https://hooks.example.com/one', headers: { 'x-a': '(set)', 'x-b': '(set)' } },
      after: { url: 'https://hooks.example.com/two', headers: { 'x-a': '(changed)' } },
    });
    await insist('GET', `${base}/${id}/secret`, undefined, token);
    expect(await written()).toMatchObject({
      actor: { kind: 'token', id: tokenId },
      action: 'endpoint_secret.reveal',
      object: id,
      before: null,
      after: null,
    });
    await insist('POST', `${base}/${id}/secret/rotate`, { overlapSeconds: 60 }, token);
    const rotated = await written();
    expect(rotated).toMatchObject({ action: 'endpoint_secret.rotate', object: id });
    expect((rotated.before as { live: object[] }).live).toHaveLength(1);
    expect((rotated.after as { live: object[] }).live).toHaveLength(2);
    for (const [action, after] of [
      ['disable', { disabledAt: expect.any(String), disabledReason: 'moving' }],
      ['enable', { disabledAt: null }],
      ['pause', { pausedAt: expect.any(String) }],
      ['resume', { pausedAt: null }],
    ] as const) {
      await insist(
        'POST',
        `${base}/${id}/${action}`,
        action === 'disable' ? { reason: 'moving' } : undefined,
      );
      expect(await written()).toMatchObject({ action: `endpoint.${action}`, object: id, after });
    }
    await insist('DELETE', `${base}/${id}`);
    expect(await written()).toMatchObject({
      action: 'endpoint.delete',
      before: { url: 'https://hooks.example.com/two', headers: { 'x-a': '(set)' } },
      after: null,
    });
    await insist('DELETE', `/v1/subscribers/audited/access-tokens/${tokenId}`);
    expect(await written()).toMatchObject({ action: 'access_token.revoke', object: tokenId });

    const rows = await fixture.api.database.query<{ row: string }>('SELECT a::text AS row FROM audit_log a');
    expect(secrets.length).toBeGreaterThan(6);
    for (const secret of secrets) expect(JSON.stringify(rows)).not.toContain(secret);
  });

  it('of the start is the system’s, and a refused one leaves nothing', async () => {
    const [registered] = await list('actor=system');
    expect(registered).toMatchObject({
      actor: { kind: 'system', id: 'start' },
      action: 'api_key.create',
      route: null,
      ip: null,
      after: { name: 'POSTHORN_ADMIN_KEY', scopes: ['admin'] },
    });
    // Another start finds the key there.
    await (await createApi(configFor(fixture.databaseUrl))).close();
    expect(await list('actor=system&action=api_key.create')).toHaveLength(1);

    expect((await send('PATCH', '/v1/subscribers/nobody', {})).status).toBe(404);
    expect((await list('limit=250')).filter((row) => row.requestId === `audit-${requests}`)).toEqual([]);
  });
});

describe('the list', () => {
  it('is filtered, paged by cursors, and finds what was done to what is deleted', async () => {
    const { id } = await insist('POST', '/v1/subscribers', { name: 'Gone', externalId: 'gone' });
    for (let n = 0; n < 4; n++) await insist('PATCH', '/v1/subscribers/gone', { name: `Gone ${n}` });
    await insist('DELETE', '/v1/subscribers/gone');
    const all = await list(`subscriber=${id}`);
    expect(all.map(({ action }) => action)).toEqual([
      'subscriber.delete',
      ...Array.from({ length: 4 }, () => 'subscriber.update'),
      'subscriber.create',
    ]);
    expect(await list(`object=${id}`)).toEqual(all);
    expect(await list(`object=${id}&action=subscriber.delete`)).toEqual(all.slice(0, 1));
    expect(await list(`subscriber=${id}&actor=token`)).toEqual([]);
    expect(await list(`subscriber=${id}&actor=${all[0].actor.id}`)).toEqual(all);
    expect(await list(`subscriber=${id}&until=2026-01-01T00:00:00Z`)).toEqual([]);
    expect(await list(`subscriber=${id}&since=2026-01-01T00:00:00Z`)).toEqual(all);
    expect(await list('subscriber=gone')).toEqual([]);

    const paged: unknown[] = [];
    for (let cursor = ''; ;) {
      const { body } = await fixture.call('GET', `/v1/audit-log?subscriber=${id}&limit=2${cursor}`);
      paged.push(...body.data);
      if (body.nextCursor === null) break;
      cursor = `&cursor=${body.nextCursor}`;
    }
    expect(paged).toEqual(all);
    for (const wrong of [
      'actor=nobody',
      'action=endpoint.explode',
      'since=yesterday',
      'object=%00',
      'who=me',
    ])
      expect((await fixture.call('GET', `/v1/audit-log?${wrong}`)).body.code, wrong).toBe('invalid_request');
  });

  it('shows a bound admin key its own subscriber only, and nobody else anything', async () => {
    const other = await insist('POST', '/v1/subscribers', { name: 'Other' });
    const { key } = await fixture.key(['admin'], subscriber);
    const seen = await list('limit=250', key);
    expect(seen.length).toBeGreaterThan(3);
    for (const row of seen) expect(row.subscriber).toBe(subscriber);
    expect(await list(`subscriber=${other.id}`, key)).toEqual([]);
    expect(await list('actor=system', key)).toEqual([]);
  });

  // Without these a list would read all of a log that is kept for more than a year.
  it('reads by an index, whatever one thing it is filtered by', async () => {
    const { database } = fixture.api;
    const plans = new Map<string, string>();
    const explaining = {
      query: async (text: string, values: unknown[]) => {
        const rows = await database.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${text}`, values);
        plans.set(text, rows.map((row) => row['QUERY PLAN']).join('\n'));
        return [];
      },
    } as never;
    const uuid = fromPublicId('sub', subscriber)!;
    await database.query(
      `INSERT INTO audit_log (id, actor_kind, actor, action, object)
       SELECT gen_random_uuid(), 'key', gen_random_uuid(), 'subscriber.update', n::text FROM generate_series(1, 5000) n`,
    );
    await database.query('ANALYZE audit_log');
    const filters = {
      audit_log_subscriber: { subscriberId: uuid },
      audit_log_actor: { actorId: uuid },
      audit_log_kind: { actorKind: 'system' as const },
      audit_log_action: { action: 'endpoint.delete' },
      audit_log_object: { object: subscriber },
      audit_log_pkey: {},
    };
    for (const [index, filter] of Object.entries(filters)) {
      await auditRepository.list(explaining, { kind: 'staff' }, filter, { limit: 50 });
      expect([...plans.values()].at(-1), index).toContain(index);
    }
    await database.query(`DELETE FROM audit_log WHERE request_id IS NULL AND actor_kind = 'key'`);
  });
});

describe('what is written', () => {
  it('is rewritten by no role, and forgotten only when it is old, whoever asks', async () => {
    const { database } = fixture.api;
    const api = await openDatabase(fixture.databaseUrl, 'api');
    try {
      for (const role of [api, worker])
        for (const statement of [
          `UPDATE audit_log SET action = 'x'`,
          'DELETE FROM audit_log',
          'TRUNCATE audit_log',
          'ALTER TABLE audit_log DROP COLUMN ip',
        ])
          await expect(role.query(statement), statement).rejects.toThrow(/permission denied|must be owner/);
      await expect(api.query('SELECT posthorn_forget_audit(400, 100)')).rejects.toThrow('permission denied');
    } finally {
      await api.close();
    }
    const aged = (days: number, n: number) =>
      database.query(
        `INSERT INTO audit_log (id, at, actor_kind, actor, action, object)
         SELECT i::uuid, now() - make_interval(days => $2), 'system', 'test', 'aged', '' FROM unnest($1::text[]) i`,
        [Array.from({ length: n }, () => newId(Date.now() - days * 86_400_000, systemRandom)), days],
      );
    const left = async () =>
      (
        await database.query<{ days: number }>(
          `SELECT extract(day FROM now() - at)::int AS days FROM audit_log WHERE action = 'aged' ORDER BY at`,
        )
      ).map(({ days }) => days);
    await aged(500, 5);
    await aged(401, 1);
    await aged(399, 1);
    await aged(89, 1);
    // A bounded step each time.
    expect(await auditRepository.deleteOld(worker, 400, 4)).toBe(4);
    expect(await left()).toEqual([500, 401, 399, 89]);
    expect(await auditRepository.deleteOld(worker, 400, 100)).toBe(2);
    expect(await left()).toEqual([399, 89]);
    // Whoever got hold of a worker cannot wipe its traces.
    expect(await auditRepository.deleteOld(worker, 0, 100)).toBe(1);
    expect(await left()).toEqual([89]);
  });

  it('has a name that stays', () => {
    expect(new Set(AUDIT_ACTIONS).size).toBe(AUDIT_ACTIONS.length);
    for (const action of AUDIT_ACTIONS) expect(action).toMatch(/^[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*$/);
  });
});
