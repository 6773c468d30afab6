/**
 * Real: the api over HTTP, PostgreSQL, pg-boss's tables. Not real: the worker; a delivery's end is written by statement.
 * Proves: what support does, through the front door: find, look, resend, replay; with the scopes, codes and cursors.
 */
import 'reflect-metadata';
import { newId, systemRandom, toPublicId } from '@app/domain';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type ApiFixture } from './api-fixture.js';

let fixture: ApiFixture;
const call: ApiFixture['call'] = (...request) => fixture.call(...request);
let acme: { id: string };
let other: { id: string };
let endpoint: { id: string };

beforeAll(async () => {
  fixture = await startApi();
  await call('POST', '/v1/event-types', { name: 'invoice.paid' });
  acme = (await call('POST', '/v1/subscribers', { name: 'Acme', externalId: 'acme' })).body;
  other = (await call('POST', '/v1/subscribers', { name: 'Other', externalId: 'other' })).body;
  const url = 'http://127.0.0.1:8009/hook';
  endpoint = (await call('POST', `/v1/subscribers/acme/endpoints`, { url, eventTypes: ['*'] })).body;
  await call('POST', `/v1/subscribers/other/endpoints`, { url, eventTypes: ['*'] });
});
afterAll(() => fixture.stop());

const publish = async (subscriber = 'acme') =>
  (await call('POST', '/v1/events', { subscriber, type: 'invoice.paid', data: { amount: 1 } })).body as {
    id: string;
  };

async function failAll(): Promise<void> {
  await fixture.api.database.query('DELETE FROM pgboss.job');
  await fixture.api.database.query(
    `UPDATE deliveries SET status = 'failed', place = NULL, due_at = NULL, failure = 'http_5xx', finished_at = now(),
            updated_at = now(), ticket = ticket + 1 WHERE status = 'pending'`,
  );
  await fixture.api.database.query('UPDATE lanes SET queued = 0, held = 0');
}

const firstFailed = async () =>
  (await call('GET', '/v1/deliveries?status=failed&subscriber=acme&limit=1')).body.data[0];

describe('finding', () => {
  it('deliveries and events, page by page with a Link', async () => {
    for (let n = 0; n < 5; n++) await publish();
    const first = await call('GET', `/v1/deliveries?subscriber=acme&endpoint=${endpoint.id}&limit=2`);
    expect(first.body.data).toHaveLength(2);
    expect(first.headers.get('link')).toContain('rel="next"');
    expect(first.body.data[0]).toMatchObject({
      subscriberId: acme.id,
      status: 'pending',
      nextAttempt: { code: 'first_attempt', reason: expect.any(String) },
    });
    const second = await call(
      'GET',
      `/v1/deliveries?subscriber=${acme.id}&limit=3&cursor=${first.body.nextCursor}`,
    );
    expect(second.body.nextCursor).toBeNull();
    expect(second.body.data).toHaveLength(3);
    const events = await call('GET', '/v1/events?subscriber=acme&type=invoice.paid&limit=2');
    expect(events.body.data[0]).toMatchObject({ matched: 1, note: null, counts: { pending: 1 } });
    const event = await call('GET', `/v1/events/${events.body.data[0].id}`);
    expect(event.body).toMatchObject({
      data: '{"amount":1}',
      deliveries: [{ eventId: events.body.data[0].id }],
    });
    expect(event.body.createdAt).toMatch(/^\d{4}-.*Z$/);
    await failAll();
  });

  it.each([
    ['/v1/deliveries?subscriber=nobody', 200],
    [`/v1/deliveries?subscriber=${toPublicId('sub', newId(0, systemRandom))}`, 200],
    [`/v1/deliveries?endpoint=${toPublicId('ep', newId(0, systemRandom))}`, 200],
    ['/v1/events?subscriber=nobody', 200],
    ['/v1/deliveries?subscriber=sub_x', 'subscriber'],
    ['/v1/deliveries?subscriber=a%00b', 'subscriber'],
    ['/v1/deliveries?endpoint=ep_x', 'endpoint'],
    ['/v1/deliveries?failure=a%00', 'failure'],
    ['/v1/deliveries?eventType=%00', 'eventType'],
    ['/v1/deliveries?status=failed&status=pending', 'status'],
    ['/v1/deliveries?since=2026-02-30', 'since'],
    ['/v1/deliveries?until=now', 'until'],
    ['/v1/deliveries?limit=0', 'limit'],
    ['/v1/deliveries?colour=red', 'colour'],
    ['/v1/events?type=a..b', 'type'],
    ['/v1/replays?state=x', 'state'],
  ])('%s answers %s', async (path, wanted) => {
    const { status, body } = await call('GET', path);
    if (wanted === 200) expect({ status, data: body.data }).toEqual({ status: 200, data: [] });
    else expect(body).toMatchObject({ status: 400, code: 'invalid_request', errors: [{ pointer: wanted }] });
  });

  it.each(['/v1/deliveries/dlv_x', '/v1/deliveries/%00', '/v1/events/evt_x', '/v1/replays/rpl_x'])(
    '%s is not found',
    async (path) => {
      expect((await call('GET', path)).body).toMatchObject({ status: 404, code: 'not_found' });
    },
  );
});

describe('sending again', () => {
  it('one delivery: 202, once per Idempotency-Key, told in the log', async () => {
    const { id } = await firstFailed();
    const path = `/v1/deliveries/${id}/resend`;
    const options = { headers: { 'idempotency-key': `resend-${id}` } };
    const answer = await call('POST', path, undefined, options);
    expect(answer.status).toBe(202);
    expect(answer.body).toMatchObject({
      result: 'queued',
      delivery: { id, status: 'pending', trigger: 'resend' },
    });
    const again = await call('POST', path, undefined, options);
    expect(again.text).toBe(answer.text);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(fixture.lines.filter((line) => line.message === 'delivery.resent')).toMatchObject([
      { delivery: id, result: 'queued' },
    ]);
    const shown = await call('GET', `/v1/deliveries/${id}`);
    expect(shown.body).toMatchObject({
      event: { data: '{"amount":1}' },
      request: { method: 'POST', body: expect.stringMatching(/^\{"id":"evt_.*,"data":\{"amount":1\}\}$/) },
      endpoint: { id: endpoint.id, url: 'http://127.0.0.1:8009/hook', stopped: null },
      timeline: [
        { id: null, n: 1, status: 'pending', reason: expect.any(String), dueAt: expect.any(String) },
      ],
    });
    await failAll();
  });

  it('of a disabled endpoint: 409, and what to do', async () => {
    const { id } = await firstFailed();
    await call('POST', `/v1/subscribers/acme/endpoints/${endpoint.id}/disable`, {});
    const answer = await call('POST', `/v1/deliveries/${id}/resend`);
    expect(answer.body).toMatchObject({
      status: 409,
      code: 'conflict',
      detail: expect.stringContaining('Enable it first'),
    });
    await call('POST', `/v1/subscribers/acme/endpoints/${endpoint.id}/enable`);
  });

  it('many: dry run, start, progress, the same again, cancel', async () => {
    const today = new Date().toISOString().slice(0, 10);
    const span = {
      subscriber: 'acme',
      since: new Date(Date.now() - 86_400_000).toISOString(),
      until: `${Number(today.slice(0, 4)) + 1}-01-01`,
    };
    const ask = { ...span, endpoint: endpoint.id, eventType: 'invoice.paid' };
    const dry = await call('POST', '/v1/replays', { ...ask, dryRun: true });
    expect([dry.status, dry.body]).toEqual([
      202,
      { id: null, matched: 5, countedTo: null, alreadyRunning: false },
    ]);
    const started = await call('POST', '/v1/replays', ask);
    expect(started.body).toMatchObject({
      id: expect.stringMatching(/^rpl_/),
      matched: 5,
      alreadyRunning: false,
    });
    expect((await call('POST', '/v1/replays', ask)).body).toMatchObject({
      id: started.body.id,
      alreadyRunning: true,
    });
    const path = `/v1/replays/${started.body.id}`;
    expect((await call('GET', path)).body).toMatchObject({
      state: 'running',
      filters: { subscriber: acme.id, endpoint: endpoint.id, eventType: 'invoice.paid', status: 'failed' },
      resent: 0,
    });
    expect((await call('DELETE', path)).body).toMatchObject({ state: 'cancelled' });
    expect((await call('GET', '/v1/replays?state=cancelled')).body.data).toMatchObject([
      { id: started.body.id },
    ]);
  });

  it.each([
    [{ since: '2026-11-22' }, '/until'],
    [{ since: '2026-11-22', until: '2026-11-22' }, '/until'],
    [{ since: '2026-02-30', until: '2026-03-01' }, '/since'],
    [{ since: '2020-01-01', until: '2026-01-01' }, '/since'],
    [{ since: '2026-11-01', until: '2026-11-02', status: 'pending' }, '/status'],
    [{ since: '2026-11-01', until: '2026-11-02', colour: 'red' }, '/colour'],
  ])('%o is refused', async (body, pointer) => {
    const answer = await call('POST', '/v1/replays', body);
    expect(answer.body).toMatchObject({ status: 400, code: 'invalid_request', errors: [{ pointer }] });
  });

  it('of a subscriber that does not exist is refused', async () => {
    const answer = await call('POST', '/v1/replays', {
      subscriber: 'nobody',
      since: '2026-11-01',
      until: '2026-11-02',
    });
    expect(answer.body).toMatchObject({ status: 400, code: 'unknown_subscriber' });
  });
});

it('a bound key sees, resends and replays its own only; scopes are asked for', async () => {
  const event = await publish('other');
  await failAll();
  const [foreign] = (await call('GET', '/v1/deliveries?subscriber=other')).body.data;
  const { key } = await fixture.key(['deliveries:read', 'deliveries:resend'], acme.id);
  const mine = (method: string, path: string, body?: unknown) => call(method, path, body, { key });
  expect((await mine('GET', '/v1/deliveries?subscriber=other')).body.data).toEqual([]);
  expect((await mine('GET', `/v1/deliveries?subscriber=${other.id}`)).body.data).toEqual([]);
  expect((await mine('GET', '/v1/deliveries')).body.data.length).toBe(5);
  for (const path of [`/v1/deliveries/${foreign.id}`, `/v1/events/${event.id}`])
    expect((await mine('GET', path)).status).toBe(404);
  expect((await mine('POST', `/v1/deliveries/${foreign.id}/resend`)).status).toBe(404);
  const span = { since: new Date(Date.now() - 86_400_000).toISOString(), until: '2099-01-01' };
  expect((await mine('POST', '/v1/replays', { ...span, subscriber: 'other' })).body.code).toBe(
    'unknown_subscriber',
  );
  expect((await mine('POST', '/v1/replays', { ...span, subscriber: other.id })).body.code).toBe(
    'unknown_subscriber',
  );
  expect((await mine('POST', '/v1/replays', { ...span, dryRun: true })).body.matched).toBe(5);

  const reader = await fixture.key(['deliveries:read']);
  expect(
    (await call('POST', `/v1/deliveries/${foreign.id}/resend`, undefined, { key: reader.key })).body.code,
  ).toBe('forbidden');
  const writer = await fixture.key(['events:write']);
  expect((await call('GET', '/v1/deliveries', undefined, { key: writer.key })).body.code).toBe('forbidden');
});
