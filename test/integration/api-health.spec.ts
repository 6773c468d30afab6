/**
 * Real: the api over HTTP, PostgreSQL. Not real: the worker; what it counted and decided is written by statement.
 * Proves: an endpoint's health says what is so, to whom it belongs and to nobody else.
 */
import { emptyLatencies, fromPublicId, newId, systemRandom, toPublicId } from '@app/domain';
import { statsRepository } from '@app/persistence';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startApi, type ApiFixture } from './api-fixture.js';

let fixture: ApiFixture;
let acme: string;
let other: string;
const call: ApiFixture['call'] = (...request) => fixture.call(...request);
const query = (text: string, values: unknown[] = []) => fixture.api.database.query(text, values);
const uuid = () => newId(Date.now(), systemRandom);

beforeAll(async () => {
  fixture = await startApi();
  await call('POST', '/v1/event-types', { name: 'a.b' });
  acme = (await call('POST', '/v1/subscribers', { name: 'Acme', externalId: 'acme' })).body.id;
  other = (await call('POST', '/v1/subscribers', { name: 'Other', externalId: 'other' })).body.id;
});
afterAll(() => fixture?.stop());

async function newEndpoint(more: object = {}) {
  const url = 'http://127.0.0.1:8009/';
  const { body } = await call('POST', '/v1/subscribers/acme/endpoints', {
    url,
    eventTypes: ['x.y'],
    ...more,
  });
  return { id: fromPublicId('ep', body.id)!, path: `/v1/subscribers/acme/endpoints/${body.id}` };
}
const health = async (path: string) => {
  const answer = await call('GET', `${path}/health`);
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
};
const setLane = (endpoint: string, set: string) =>
  query(`UPDATE lanes SET ${set} WHERE endpoint_id = $1`, [endpoint]);

it('of an endpoint that nothing has happened to', async () => {
  const { path } = await newEndpoint();
  const none = { attempts: 0, delivered: 0, failed: 0, successRatio: null, p50Ms: null, p95Ms: null };
  expect(await health(path)).toEqual({
    status: 'enabled',
    paused: false,
    circuit: { state: 'closed', since: null, openUntil: null, reason: null, trips: 0, nextProbeAt: null },
    window: 128,
    windowMax: 2000,
    queued: 0,
    held: 0,
    waiting: 0,
    oldestDueAt: null,
    rate: null,
    lastHour: none,
    lastDay: none,
    failing: null,
    transitions: [],
    ordering: null,
  });
});

it('with an open circuit, failing, paused: what happened, and what is to come', async () => {
  const { id, path } = await newEndpoint({ eventTypes: ['a.b'] });
  for (let n = 0; n < 2; n++) await call('POST', '/v1/events', { subscriber: 'acme', type: 'a.b', data: n });
  await query(
    `UPDATE deliveries SET due_at = '2026-01-01T00:00:00Z', place = 'held'
    WHERE id = (SELECT min(id::text)::uuid FROM deliveries WHERE endpoint_id = $1)`,
    [id],
  );
  await setLane(
    id,
    `circuit = 'open', opened_at = '2026-01-02T00:00:00Z', open_until = '2026-01-02T00:00:30Z', trips = 2, window_size = 1,
     queued = 1, held = 1, waiting = 7, failing_since = '2026-01-01T00:00:00Z', failing_attempts = 9, warned_percent = 50`,
  );
  for (let n = 0; n < 25; n++)
    await query(
      `INSERT INTO lane_transitions (id, subscriber_id, endpoint_id, at, kind, detail)
       VALUES ($1, $2, $3, timestamptz '2026-01-02T00:00:00Z' + $4 * interval '1 second', 'circuit_opened', $5)`,
      [
        uuid(),
        fromPublicId('sub', acme),
        id,
        n,
        { reason: 'failure_rate', until: '2026-01-02T00:00:30.000Z' },
      ],
    );
  await call('POST', `${path}/pause`);
  const shown = await health(path);
  expect(shown).toMatchObject({
    status: 'paused',
    paused: true,
    circuit: {
      state: 'open',
      since: '2026-01-02T00:00:00.000Z',
      openUntil: '2026-01-02T00:00:30.000Z',
      nextProbeAt: '2026-01-02T00:00:30.000Z',
      reason: 'at least 80 % of the attempts of a minute failed',
      trips: 2,
    },
    queued: 1,
    held: 1,
    waiting: 7,
    oldestDueAt: '2026-01-01T00:00:00.000Z',
    failing: {
      since: '2026-01-01T00:00:00.000Z',
      attempts: 9,
      warnedPercent: 50,
      disablesAt: '2026-01-06T00:00:00.000Z',
    },
  });
  expect(shown.transitions).toHaveLength(20);
  expect(shown.transitions[0]).toMatchObject({
    at: '2026-01-02T00:00:24.000Z',
    text: expect.stringContaining('nothing is sent until 2026-01-02T00:00:30.000Z'),
  });
  await call('PATCH', path, { autoDisable: null });
  expect((await health(path)).failing.disablesAt).toBeNull();
});

it('figures: what workers added up in an hour and in a day', async () => {
  const { id, path } = await newEndpoint();
  const row = {
    endpointId: id,
    subscriberId: fromPublicId('sub', acme)!,
    delivered: 3,
    failed: 1,
    latency: emptyLatencies().with(0, 4),
  };
  const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000);
  await statsRepository.add(fixture.api.database, [
    { ...row, bucketAt: ago(1) },
    { ...row, bucketAt: ago(600), delivered: 0, failed: 4 },
    { ...row, bucketAt: ago(3000) },
  ]);
  expect(await health(path)).toMatchObject({
    lastHour: { attempts: 4, delivered: 3, failed: 1, successRatio: 0.75, p50Ms: 0.5, p95Ms: 1 },
    lastDay: { attempts: 8, delivered: 3, failed: 5, successRatio: 0.375 },
  });
});

it('the rate: its limit, what a 429 made of it, and the next slot', async () => {
  const rateLimit = { algorithm: 'leaky_bucket', limit: 1, per: 3600, adaptive: true };
  const { id, path } = await newEndpoint({ rateLimit });
  const { rate } = await health(path);
  expect(rate).toMatchObject({ limit: rateLimit, factor: 1 });
  expect(Math.abs(Date.parse(rate.nextSlotAt) - Date.now())).toBeLessThan(5000);
  await setLane(id, `rate_factor = 0.25, rate_reduced_at = now()`);
  await query(
    `INSERT INTO rate_slots (endpoint_id, state)
     VALUES ($1, jsonb_build_object('kind', 'bucket', 'at', floor(extract(epoch FROM now()) * 1000), 'fraction', 0, 'tokens', 0))`,
    [id],
  );
  const lowered = (await health(path)).rate;
  expect(lowered.factor).toBeCloseTo(0.25, 1);
  expect(Date.parse(lowered.nextSlotAt) - Date.now()).toBeGreaterThan(3_600_000);
});

it('of an ordered endpoint: which keys are blocked, and by what', async () => {
  const { id, path } = await newEndpoint({ ordered: true });
  expect((await health(path)).ordering).toEqual({ blockedKeys: 0, blocked: [] });
  const blockers = Array.from({ length: 12 }, uuid);
  for (const [n, delivery] of blockers.entries())
    await query(
      `INSERT INTO ordering_keys (endpoint_id, subscriber_id, key, state, delivery_id, changed_at)
       VALUES ($1, $2, $3, 'blocked', $4, timestamptz '2026-01-01T00:00:00Z' + $5 * interval '1 second')`,
      [id, fromPublicId('sub', acme), `k${n}`, delivery, n],
    );
  const { ordering } = await health(path);
  expect(ordering.blockedKeys).toBe(12);
  expect(ordering.blocked).toHaveLength(10);
  expect(ordering.blocked[0]).toEqual({ key: 'k0', delivery: toPublicId('dlv', blockers[0]) });
});

it('is for keys that may read endpoints; what is not yours is not there', async () => {
  const { path } = await newEndpoint();
  const code = async (key: string) => (await call('GET', `${path}/health`, undefined, { key })).body.code;
  expect(await code((await fixture.key(['events:write'])).key)).toBe('forbidden');
  expect(await code((await fixture.key(['endpoints:read'], other)).key)).toBe('not_found');
  expect(await code((await fixture.key(['endpoints:read'], acme)).key)).toBeUndefined();
  expect((await call('GET', '/v1/subscribers/acme/endpoints/ep_x/health')).body.code).toBe('not_found');
});
