// Real: the api with its HTTP server, PostgreSQL with our migrations. No worker: nothing is delivered.
import { fromPublicId } from '@app/domain';
import { endpointsRepository } from '@app/persistence';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type ApiFixture } from './api-fixture.js';

let fixture: ApiFixture;
beforeAll(async () => void (fixture = await startApi()));
afterAll(() => fixture?.stop());

const subscribers = '/v1/subscribers';
let count = 0;
async function newSubscriber(more: object = {}): Promise<string> {
  const { status, body } = await fixture.call('POST', subscribers, { name: `S ${++count}`, ...more });
  expect(status).toBe(201);
  return body.id as string;
}
async function newEndpoint(subscriber: string, more: object = {}) {
  const reply = await fixture.call('POST', `${subscribers}/${subscriber}/endpoints`, {
    url: 'https://a.example/hook',
    ...more,
  });
  expect(reply.status, reply.text).toBe(201);
  return reply.body as { id: string; secret: string };
}

describe('subscribers', () => {
  it('goes once round: register, show, list, change, delete', async () => {
    const made = await fixture.call('POST', subscribers, {
      name: 'Acme',
      externalId: 'acme corp/1',
      metadata: { plan: 'a' },
    });
    expect(made.status).toBe(201);
    expect(made.body).toEqual({
      id: expect.stringMatching(/^sub_[0-9a-z]{26}$/),
      name: 'Acme',
      externalId: 'acme corp/1',
      metadata: { plan: 'a' },
      encryptPayloads: false,
      createdAt: expect.stringMatching(/Z$/),
      updatedAt: made.body.createdAt,
    });
    const byOwnId = `${subscribers}/${encodeURIComponent('acme corp/1')}`;
    expect((await fixture.call('GET', byOwnId)).body).toEqual(made.body);
    expect((await fixture.call('GET', `${subscribers}/${made.body.id}`)).body).toEqual(made.body);
    expect((await fixture.call('GET', subscribers)).body.data).toContainEqual(made.body);

    const changed = await fixture.call('PATCH', byOwnId, { name: 'Acme 2' });
    expect(changed.body).toMatchObject({
      name: 'Acme 2',
      externalId: 'acme corp/1',
      metadata: { plan: 'a' },
    });
    expect(changed.body.updatedAt > made.body.updatedAt).toBe(true);

    const { id } = await newEndpoint(made.body.id);
    expect((await fixture.call('DELETE', byOwnId)).status).toBe(204);
    for (const path of [
      byOwnId,
      `${subscribers}/${made.body.id}`,
      `${subscribers}/${made.body.id}/endpoints/${id}`,
    ])
      expect((await fixture.call('GET', path)).body.code).toBe('not_found');
    // Its external id is free again.
    await newSubscriber({ externalId: 'acme corp/1' });
  });

  it('are named by staff: a bound key takes no externalId that others may be waiting for', async () => {
    const id = await newSubscriber({ externalId: 'bound' });
    const { key } = await fixture.key(['subscribers:write'], id);
    const path = `${subscribers}/${id}`;
    for (const externalId of ['next-customer', null])
      expect((await fixture.call('PATCH', path, { externalId }, { key })).body.code).toBe('forbidden');
    const same = { name: 'Renamed', externalId: 'bound' };
    expect((await fixture.call('PATCH', path, same, { key })).body).toMatchObject(same);
    expect((await fixture.call('PATCH', path, { externalId: 'by-staff' })).status).toBe(200);
  });

  it('PATCH: absent stays, null takes away, metadata is merged name by name, {} changes nothing but the time', async () => {
    const id = await newSubscriber({ externalId: 'patched', metadata: { a: '1', b: '2', constructor: 'x' } });
    const path = `${subscribers}/${id}`;
    expect((await fixture.call('PATCH', path, { metadata: { a: null, c: '3' } })).body).toMatchObject({
      externalId: 'patched',
      metadata: { b: '2', c: '3', constructor: 'x' },
    });
    expect((await fixture.call('PATCH', path, { externalId: null })).body.externalId).toBeNull();
    expect((await fixture.call('PATCH', path, { metadata: null })).body.metadata).toEqual({});
    expect((await fixture.call('PATCH', path, {})).status).toBe(200);
    const refused = await fixture.call('PATCH', path, { name: null });
    expect(refused.body).toMatchObject({
      status: 400,
      code: 'invalid_request',
      errors: [{ pointer: '/name' }],
    });
  });

  it('refuses an external id that is taken or looks like ours, and texts no table can hold', async () => {
    await newSubscriber({ externalId: 'taken' });
    const other = await newSubscriber();
    for (const [method, path] of [
      ['POST', subscribers],
      ['PATCH', `${subscribers}/${other}`],
    ] as const)
      expect((await fixture.call(method, path, { name: 'x', externalId: 'taken' })).body).toMatchObject({
        status: 409,
        code: 'already_exists',
      });
    const wrong: object[] = [
      { externalId: 'sub_x' },
      { name: 'a\0b' },
      { externalId: '\0' },
      { metadata: { a: '\ud800' } },
      { name: ' ' },
    ];
    for (const field of wrong)
      expect(
        (await fixture.call('POST', subscribers, { name: 'x', ...field })).body,
        JSON.stringify(field),
      ).toMatchObject({ status: 400, code: 'invalid_request' });
    for (const name of ['%00', 'sub_1', '%ED%A0%80', 'x'.repeat(300)])
      expect((await fixture.call('GET', `${subscribers}/${name}`)).status).toBeOneOf([400, 404]);
  });
});

describe('endpoints', () => {
  it('at another host keep no header value and no auth that the change does not give', async () => {
    const subscriber = await newSubscriber();
    const { id } = await newEndpoint(subscriber, {
      headers: { 'x-one': 'secret one', 'X-Two': 'secret two' },
      auth: { type: 'bearer', token: 'secret-three' },
    });
    const path = `${subscribers}/${subscriber}/endpoints/${id}`;
    const url = 'https://a.example:8443/hook';
    const kept = await fixture.call('PATCH', path, { url, headers: { 'x-two': '••••••' } });
    expect(kept.status).toBe(400);
    const pointers = kept.body.errors.map((each: { pointer: string }) => each.pointer);
    expect(pointers.sort()).toEqual(['/auth', '/headers/X-Two', '/headers/x-one']);
    const masked = { type: 'bearer', token: '••••••' };
    const half = await fixture.call('PATCH', path, { url, headers: null, auth: masked });
    expect(half.body.errors).toMatchObject([{ pointer: '/auth' }]);
    expect((await fixture.call('GET', path)).body.url).toBe('https://a.example/hook');

    // At the same one they stay, wherever it points to there.
    expect((await fixture.call('PATCH', path, { url: 'https://a.example/other' })).status).toBe(200);
    const given = { headers: { 'x-one': 'again', 'x-two': null }, auth: { type: 'bearer', token: 'again' } };
    expect((await fixture.call('PATCH', path, { url, ...given })).body).toMatchObject({
      url,
      headers: { 'x-one': '••••••' },
    });
    const bare = { url: 'https://b.example/hook', headers: null, auth: null };
    expect((await fixture.call('PATCH', path, bare)).body).toMatchObject({ url: bare.url, headers: {} });
  });

  it('goes once round; headers are masked and merged; a read mask keeps the value', async () => {
    const subscriber = await newSubscriber({ externalId: 'round' });
    const base = `${subscribers}/round/endpoints`;
    const made = await fixture.call('POST', base, {
      url: 'https://a.example:8443/x?y=1#z',
      headers: { 'X-A': 'one', 'x-b': 'two' },
    });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      subscriber,
      url: 'https://a.example:8443/x?y=1',
      description: '',
      eventTypes: ['*'],
      timeoutSeconds: 15,
      metadata: {},
      headers: { 'X-A': '••••••', 'x-b': '••••••' },
      status: 'enabled',
      disabledAt: null,
      disabledReason: null,
      pausedAt: null,
      secret: expect.stringMatching(/^whsec_/),
    });
    const path = `${base}/${made.body.id}`;
    const shown = await fixture.call('GET', path);
    const { secret: _, publicKey: __, ...withoutSecret } = made.body;
    expect(shown.body).toEqual(withoutSecret);
    expect(shown.text + (await fixture.call('GET', base)).text).not.toContain(made.body.secret);

    const changed = await fixture.call('PATCH', path, {
      headers: { 'x-a': '••••••', 'X-B': 'three', 'x-c': 'four' },
      eventTypes: ['invoice.*', 'a.b', 'invoice.*'],
      timeoutSeconds: 30,
    });
    expect(changed.body).toMatchObject({
      eventTypes: ['invoice.*', 'a.b'],
      timeoutSeconds: 30,
      url: made.body.url,
    });
    const { database } = fixture.api;
    const [row] = await database.query<{ id: string; subscriberId: string; headers: object }>(
      `SELECT id, subscriber_id AS "subscriberId", headers FROM endpoints WHERE headers ? 'x-c'`,
    );
    expect(row.headers).toEqual({ 'X-A': '', 'X-B': '', 'x-c': '' });
    expect(await endpointsRepository.openHeaders(database, row)).toEqual({
      'X-A': 'one',
      'X-B': 'three',
      'x-c': 'four',
    });

    expect((await fixture.call('DELETE', path)).status).toBe(204);
    expect((await fixture.call('GET', path)).status).toBe(404);
    expect((await fixture.call('GET', base)).body.data).toEqual([]);
  });

  it('refuses what could never be delivered, naming the field and no secret', async () => {
    const subscriber = await newSubscriber();
    const cases: [object, string, string][] = [
      [{ url: 'ftp://a.example' }, 'invalid_endpoint_url', '/url'],
      [{ url: 'http://10.0.0.1/' }, 'invalid_endpoint_url', '/url'],
      [{ url: 'http://169.254.169.254/' }, 'invalid_endpoint_url', '/url'],
      [{ eventTypes: [] }, 'invalid_request', '/eventTypes'],
      [{ eventTypes: ['a..b'] }, 'invalid_request', '/eventTypes/0'],
      [{ headers: { host: 'x' } }, 'invalid_custom_header', '/headers/host'],
      [{ headers: { 'x-a': 'hunter2\n' } }, 'invalid_custom_header', '/headers/x-a'],
      [{ secret: 'whsec_hunter2' }, 'invalid_secret', '/secret'],
      [{ timeoutSeconds: 31 }, 'invalid_request', '/timeoutSeconds'],
      [{ frequency: 1 }, 'invalid_request', '/frequency'],
    ];
    for (const [field, code, pointer] of cases) {
      const reply = await fixture.call('POST', `${subscribers}/${subscriber}/endpoints`, {
        url: 'https://a.example',
        ...field,
      });
      expect(reply.body, JSON.stringify(field)).toMatchObject({ status: 400, code, errors: [{ pointer }] });
      expect(reply.text).not.toContain('hunter2');
    }
  });

  it('rotates: the old secret signs for the overlap, five live ones are the most, 0 ends all at once', async () => {
    const subscriber = await newSubscriber();
    const { id, secret } = await newEndpoint(subscriber);
    const path = `${subscribers}/${subscriber}/endpoints/${id}/secret`;
    const rotated = await fixture.call('POST', `${path}/rotate`, { overlapSeconds: 3600 });
    expect(rotated.status).toBe(200);
    expect(rotated.body.data).toHaveLength(1);
    const live = (await fixture.call('GET', path)).body.data;
    expect(live).toMatchObject([{ secret: rotated.body.data[0].secret, expiresAt: null }, { secret }]);
    expect(Date.parse(live[1].expiresAt) - Date.now()).toBeGreaterThan(3500_000);
    expect((await fixture.call('POST', `${path}/rotate`, { secret: live[0].secret })).body.code).toBe(
      'conflict',
    );
    for (let n = 0; n < 3; n++) expect((await fixture.call('POST', `${path}/rotate`)).status).toBe(200);
    expect((await fixture.call('POST', `${path}/rotate`)).body).toMatchObject({
      status: 409,
      code: 'limit_reached',
      limit: 5,
      detail: expect.stringContaining(live[1].expiresAt),
    });
    expect((await fixture.call('GET', path)).body.data).toHaveLength(5);
    expect((await fixture.call('POST', `${path}/rotate`, { overlapSeconds: 0 })).status).toBe(200);
    expect((await fixture.call('GET', path)).body.data).toHaveLength(1);
    expect((await fixture.call('POST', `${path}/rotate`, { overlapSeconds: 604_801 })).body).toMatchObject({
      status: 400,
      limit: 604_800,
    });
  });

  it('disables, enables, pauses and resumes, each as often as one likes', async () => {
    const subscriber = await newSubscriber();
    const { id } = await newEndpoint(subscriber);
    const act = (action: string, body?: object) =>
      fixture.call('POST', `${subscribers}/${subscriber}/endpoints/${id}/${action}`, body);
    const disabled = await act('disable', { reason: 'moving' });
    expect(disabled.body).toMatchObject({
      status: 'disabled',
      disabledReason: 'moving',
      disabledAt: expect.any(String),
    });
    expect((await act('disable', { reason: 'again' })).body).toEqual(disabled.body);
    expect((await act('enable')).body).toMatchObject({
      status: 'enabled',
      disabledReason: null,
      disabledAt: null,
    });
    const paused = await act('pause');
    expect(paused.body).toMatchObject({ status: 'paused', pausedAt: expect.any(String) });
    expect((await act('pause')).body).toEqual(paused.body);
    expect((await act('resume')).body).toMatchObject({ status: 'enabled', pausedAt: null });
    expect((await act('resume')).status).toBe(200);
  });

  it('wakes the workers for what was held when it is resumed', async () => {
    const subscriber = await newSubscriber({ externalId: 'holder' });
    const { id } = await newEndpoint(subscriber);
    await fixture.call('POST', '/v1/event-types', { name: 'held.event' });
    const base = `${subscribers}/holder/endpoints/${id}`;
    await fixture.call('POST', `${base}/pause`);
    expect(
      (await fixture.call('POST', '/v1/events', { subscriber: 'holder', type: 'held.event', data: 1 }))
        .status,
    ).toBe(202);
    const places = () =>
      fixture.api.database.query(
        `SELECT d.place, l.queued, l.held, (SELECT count(*)::int FROM pgboss.job j WHERE j.id = d.id) AS tickets
         FROM deliveries d JOIN lanes l USING (endpoint_id) WHERE d.event_type = 'held.event'`,
      );
    expect(await places()).toEqual([{ place: 'held', queued: 0, held: 1, tickets: 0 }]);
    const client = new pg.Client({ connectionString: fixture.databaseUrl });
    await client.connect();
    const woken: (string | undefined)[] = [];
    client.on('notification', ({ payload }) => woken.push(payload));
    await client.query('LISTEN posthorn_due');
    await fixture.call('POST', `${base}/resume`);
    await fixture.call('POST', `${base}/resume`);
    await client.query('SELECT 1');
    await client.end();
    expect(woken).toEqual([fromPublicId('ep', id)]);
  });
});

describe('event types', () => {
  it('goes once round; versions are added and changed by name, the first given is the default', async () => {
    const made = await fixture.call('POST', '/v1/event-types', {
      name: 'a.made',
      versions: [
        { version: '2', example: { __x: [1], a: [{ constructor: 1, prototype: 2 }] } },
        { version: '10' },
      ],
    });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      name: 'a.made',
      description: '',
      versions: [
        { version: '2', example: { __x: [1], a: [{ constructor: 1, prototype: 2 }] } },
        { version: '10', example: null },
      ],
    });
    const path = '/v1/event-types/a.made';
    const changed = await fixture.call('PATCH', path, {
      description: 'd',
      versions: [
        { version: '2', description: 'two' },
        { version: '1', example: false },
      ],
    });
    expect(changed.body).toMatchObject({
      description: 'd',
      versions: [
        { version: '2', description: 'two', example: { __x: [1] } },
        { version: '10' },
        { version: '1', example: false },
      ],
    });
    expect(
      (await fixture.call('PATCH', path, { versions: [{ version: '2', example: null }] })).body.versions[0],
    ).toMatchObject({ description: 'two', example: null });
    expect((await fixture.call('GET', path)).body.versions).toHaveLength(3);
    expect((await fixture.call('POST', '/v1/event-types', { name: 'a.made' })).body.code).toBe(
      'already_exists',
    );
    expect((await fixture.call('DELETE', path)).status).toBe(204);
    expect((await fixture.call('GET', path)).body.code).toBe('not_found');
    expect((await fixture.call('GET', '/v1/event-types/%00')).body.code).toBe('not_found');
  });
});
