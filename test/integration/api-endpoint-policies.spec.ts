/**
 * Real: the api with its HTTP server, PostgreSQL with our migrations. No worker: what it did is written by statement.
 * Proves: what an endpoint may ask of its sender is checked field by field, kept, shown complete, and felt by its lane.
 */
import { fromPublicId, newId, systemRandom, toPublicId } from '@app/domain';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type ApiFixture } from './api-fixture.js';

let fixture: ApiFixture;
const call: ApiFixture['call'] = (...request) => fixture.call(...request);
const BASE = '/v1/subscribers/acme/endpoints';
const URL = 'https://a.example/hook';

beforeAll(async () => {
  fixture = await startApi();
  await call('POST', '/v1/subscribers', { name: 'Acme', externalId: 'acme' });
  await call('POST', '/v1/subscribers', { name: 'Other', externalId: 'other' });
  await call('POST', '/v1/event-types', { name: 'thing.happened' });
});
afterAll(() => fixture?.stop());

async function newEndpoint(more: object = {}, subscriber = 'acme'): Promise<string> {
  const reply = await call('POST', `/v1/subscribers/${subscriber}/endpoints`, { url: URL, ...more });
  expect(reply.status, reply.text).toBe(201);
  return reply.body.id as string;
}
const uuidOf = (endpoint: string) => fromPublicId('ep', endpoint)!;
async function lane(endpoint: string): Promise<Record<string, unknown>> {
  const [row] = await fixture.api.database.query(
    `SELECT l.*, l.open_until <= now() AS probe_now FROM lanes l WHERE endpoint_id = $1`,
    [uuidOf(endpoint)],
  );
  return row;
}
const setLane = (endpoint: string, set: string) =>
  fixture.api.database.query(`UPDATE lanes SET ${set} WHERE endpoint_id = $1`, [uuidOf(endpoint)]);

const DEFAULTS = {
  retryPolicy: null,
  retryPolicyInEffect: { type: 'schedule', attemptsMax: 13, jitter: 'proportional', timeoutSeconds: 15 },
  rateLimit: null,
  ordered: false,
  orderedFailure: 'block',
  retryBudgetPercent: 100,
  onFailure: null,
  autoDisable: { afterSeconds: 432_000, attemptsMin: 20 },
};

describe('policies', () => {
  it('have defaults, are kept as given and shown complete, and null leads back', async () => {
    const other = await newEndpoint();
    const wanted = {
      retryPolicy: { type: 'exponential', initialSeconds: 10, attemptsMax: 5 },
      rateLimit: { algorithm: 'token_bucket', limit: 100, per: 60, burst: 20, adaptive: true },
      ordered: true,
      orderedFailure: 'skip',
      retryBudgetPercent: 30,
      onFailure: { endpoint: other },
      autoDisable: { afterSeconds: 3600 },
    };
    const plain = await call('POST', BASE, { url: URL });
    expect(plain.body).toMatchObject(DEFAULTS);
    const made = await call('POST', BASE, { url: URL, timeoutSeconds: 7, ...wanted });
    const shown = {
      ...wanted,
      retryPolicyInEffect: {
        type: 'exponential',
        initialSeconds: 10,
        factor: 2,
        maxSeconds: 86_400,
        jitter: 'equal',
        attemptsMax: 5,
        ageMaxSeconds: 604_800,
        timeoutSeconds: 7,
        retryClientErrors: false,
      },
      autoDisable: { afterSeconds: 3600, attemptsMin: 20 },
    };
    expect(made.body).toMatchObject(shown);
    expect((await call('GET', `${BASE}/${made.body.id}`)).body).toMatchObject(shown);
    expect((await call('GET', BASE)).body.data[0]).toMatchObject(shown);

    expect((await call('PATCH', `${BASE}/${made.body.id}`, {})).body).toMatchObject(shown);
    const changed = await call('PATCH', `${BASE}/${made.body.id}`, {
      retryPolicy: { type: 'fixed', delaySeconds: 0.5, timeoutSeconds: 3 },
      autoDisable: { attemptsMin: 7 },
    });
    expect(changed.body).toMatchObject({
      retryPolicy: { type: 'fixed', delaySeconds: 0.5, timeoutSeconds: 3 },
      retryPolicyInEffect: { type: 'fixed', timeoutSeconds: 3, attemptsMax: 13 },
      rateLimit: wanted.rateLimit,
      autoDisable: { afterSeconds: 432_000, attemptsMin: 7 },
    });
    const back = { retryPolicy: null, rateLimit: null, onFailure: null, autoDisable: null };
    expect((await call('PATCH', `${BASE}/${made.body.id}`, back)).body).toMatchObject({
      ...back,
      retryPolicyInEffect: { type: 'schedule', timeoutSeconds: 7 },
      ordered: true,
    });
    expect(await call('POST', BASE, { url: URL, autoDisable: null })).toMatchObject({
      status: 201,
      body: { autoDisable: null },
    });
  });

  const none = toPublicId('ep', newId(0, systemRandom));
  it.each([
    [{ retryPolicy: 'often' }, 'invalid_request', '/retryPolicy'],
    [{ retryPolicy: [] }, 'invalid_request', '/retryPolicy'],
    [{ retryPolicy: {} }, 'invalid_retry_policy', '/retryPolicy/type'],
    [{ retryPolicy: { type: 'fixed' } }, 'invalid_retry_policy', '/retryPolicy/delaySeconds'],
    [
      { retryPolicy: { type: 'schedule', delaysSeconds: [1, 2, 3, -4] } },
      'invalid_retry_policy',
      '/retryPolicy/delaysSeconds/3',
    ],
    [
      { retryPolicy: { type: 'fixed', delaySeconds: 1, atemptsMax: 3 } },
      'invalid_retry_policy',
      '/retryPolicy/atemptsMax',
    ],
    [
      { retryPolicy: JSON.parse('{"type":"fixed","delaySeconds":1,"constructor":1}') },
      'invalid_retry_policy',
      '/retryPolicy/constructor',
    ],
    [{ rateLimit: 5 }, 'invalid_request', '/rateLimit'],
    [
      { rateLimit: { algorithm: 'leaky_bucket', limit: 0, per: 1 } },
      'invalid_rate_limit',
      '/rateLimit/limit',
    ],
    [
      { rateLimit: { algorithm: 'leaky_bucket', limit: 5, per: 1, burst: 3 } },
      'invalid_rate_limit',
      '/rateLimit/burst',
    ],
    [{ ordered: 'yes' }, 'invalid_request', '/ordered'],
    [{ ordered: null }, 'invalid_request', '/ordered'],
    [{ orderedFailure: 'stop' }, 'invalid_request', '/orderedFailure'],
    [{ retryBudgetPercent: 0 }, 'invalid_request', '/retryBudgetPercent'],
    [{ retryBudgetPercent: 101 }, 'invalid_request', '/retryBudgetPercent'],
    [{ onFailure: [] }, 'invalid_request', '/onFailure'],
    [{ onFailure: {} }, 'invalid_request', '/onFailure/endpoint'],
    [{ onFailure: { endpoint: 'ep_x' } }, 'invalid_request', '/onFailure/endpoint'],
    [{ onFailure: { endpoint: none, url: 'x' } }, 'invalid_request', '/onFailure/url'],
    [{ onFailure: { endpoint: none } }, 'invalid_on_failure', '/onFailure/endpoint'],
    [{ autoDisable: { afterSeconds: 59 } }, 'invalid_request', '/autoDisable/afterSeconds'],
    [{ autoDisable: { attemptsMin: 1.5 } }, 'invalid_request', '/autoDisable/attemptsMin'],
  ])('%j is refused: %s at %s', async (field, code, pointer) => {
    const id = await newEndpoint();
    for (const [method, path] of [
      ['POST', BASE],
      ['PATCH', `${BASE}/${id}`],
    ] as const) {
      const { body, text } = await call(method, path, { ...(method === 'POST' && { url: URL }), ...field });
      expect(body, text).toMatchObject({ status: 400, code });
      expect(body.errors[0]).toEqual({ pointer, detail: expect.stringMatching(/\w/) });
      expect(body.detail).toContain(pointer);
    }
  });

  it('onFailure names another living endpoint of the same subscriber; somebody else’s is as none', async () => {
    const id = await newEndpoint();
    const path = `${BASE}/${id}`;
    const foreign = await newEndpoint({}, 'other');
    const deleted = await newEndpoint();
    await call('DELETE', `${BASE}/${deleted}`);
    const answers = await Promise.all(
      [none, foreign, deleted].map((endpoint) => call('PATCH', path, { onFailure: { endpoint } })),
    );
    for (const { body } of answers)
      expect([body.code, body.detail]).toEqual(['invalid_on_failure', answers[0].body.detail]);
    expect((await call('PATCH', path, { onFailure: { endpoint: id } })).body.code).toBe('invalid_on_failure');
    // Deleted later: nobody is told any more.
    const mate = await newEndpoint();
    await call('PATCH', path, { onFailure: { endpoint: mate } });
    await call('DELETE', `${BASE}/${mate}`);
    expect((await call('GET', path)).body.onFailure).toBeNull();
  });

  it('of an event type', async () => {
    const retryPolicy = { type: 'fixed', delaySeconds: 10, attemptsMax: 3 };
    const made = await call('POST', '/v1/event-types', { name: 'a.made', retryPolicy });
    expect(made.body).toMatchObject({ retryPolicy });
    const path = '/v1/event-types/a.made';
    expect((await call('PATCH', path, { description: 'x' })).body).toMatchObject({ retryPolicy });
    expect((await call('GET', '/v1/event-types')).body.data).toContainEqual(
      expect.objectContaining({ name: 'a.made', retryPolicy }),
    );
    const wrong = await call('PATCH', path, { retryPolicy: { type: 'linear', initialSeconds: 1 } });
    expect(wrong.body).toMatchObject({
      code: 'invalid_retry_policy',
      errors: [{ pointer: '/retryPolicy/incrementSeconds', detail: 'is required' }],
    });
    expect((await call('PATCH', path, { retryPolicy: null })).body.retryPolicy).toBeNull();
    expect((await call('GET', '/v1/event-types/thing.happened')).body.retryPolicy).toBeNull();
  });
});

describe('the lane follows', () => {
  it('a rate limit: no more places than two seconds and a burst need', async () => {
    const id = await newEndpoint({ rateLimit: { algorithm: 'leaky_bucket', limit: 10, per: 1 } });
    expect(await lane(id)).toMatchObject({ window_max: 20, window_size: 20 });
    await setLane(id, `rate_factor = 0.5, rate_reduced_at = now()`);
    await call('PATCH', `${BASE}/${id}`, { timeoutSeconds: 5 });
    expect(await lane(id)).toMatchObject({ window_max: 20, rate_factor: 0.5 });
    await call('PATCH', `${BASE}/${id}`, { rateLimit: null });
    expect(await lane(id)).toMatchObject({
      window_max: 2000,
      window_size: 20,
      rate_factor: 1,
      rate_reduced_at: null,
    });
    expect(await lane(await newEndpoint())).toMatchObject({ window_max: 2000, window_size: 128 });
  });

  it('another URL: an open circuit sends its probe at once', async () => {
    const id = await newEndpoint();
    await setLane(
      id,
      `circuit = 'open', opened_at = now(), open_until = now() + interval '10 minutes', window_size = 1`,
    );
    await call('PATCH', `${BASE}/${id}`, { url: URL });
    expect(await lane(id)).toMatchObject({ circuit: 'open', probe_now: false });
    const woken = await notified(() => call('PATCH', `${BASE}/${id}`, { url: 'https://b.example/hook' }));
    expect(await lane(id)).toMatchObject({ circuit: 'open', probe_now: true });
    expect(woken).toEqual([uuidOf(id)]);
  });

  it('enabling: slowly and with nothing held against it, and what was missed is offered', async () => {
    const id = await newEndpoint({ eventTypes: ['thing.*'] });
    const publish = async () =>
      (await call('POST', '/v1/events', { subscriber: 'acme', type: 'thing.happened', data: 1 })).body.id;
    await call('POST', `${BASE}/${id}/disable`, { reason: 'moving' });
    await publish();
    await publish();
    await setLane(
      id,
      `circuit = 'open', opened_at = now(), open_until = now() + interval '1 hour', trips = 4, consecutive_failures = 9,
       failing_since = now(), failing_attempts = 9, warned_percent = 75`,
    );
    let enabled: Awaited<ReturnType<typeof call>>;
    const woken = await notified(async () => (enabled = await call('POST', `${BASE}/${id}/enable`)));
    expect(woken).toEqual([uuidOf(id)]);
    const { missed } = enabled!.body;
    expect(missed).toEqual({
      deliveries: 2,
      since: expect.any(String),
      until: expect.any(String),
      replay: { endpoint: id, status: 'cancelled', since: missed.since, until: missed.until },
    });
    expect(await lane(id)).toMatchObject({
      window_size: 1,
      circuit: 'closed',
      open_until: null,
      opened_at: null,
      closed_at: expect.any(Date),
      trips: 0,
      consecutive_failures: 0,
      failing_since: null,
      failing_attempts: 0,
      warned_percent: 0,
    });
    expect((await call('POST', '/v1/replays', { ...missed.replay, dryRun: true })).body.matched).toBe(2);
    // Enabled already: nothing is missed, nothing is slowed down.
    await setLane(id, 'window_size = 50');
    expect((await call('POST', `${BASE}/${id}/enable`)).body).toMatchObject({
      status: 'enabled',
      missed: null,
    });
    expect(await lane(id)).toMatchObject({ window_size: 50 });
    await call('POST', `${BASE}/${id}/disable`, {});
    expect((await call('POST', `${BASE}/${id}/enable`)).body.missed).toBeNull();
  });
});

/** The payloads that were sent to the workers while `work` ran. */
async function notified(work: () => Promise<unknown>): Promise<string[]> {
  const client = new pg.Client({ connectionString: fixture.databaseUrl });
  await client.connect();
  try {
    const payloads: string[] = [];
    client.on('notification', ({ payload }) => payloads.push(payload ?? ''));
    await client.query('LISTEN posthorn_due');
    await work();
    // Notifications that were committed before come before this answer.
    await client.query('SELECT 1');
    return payloads;
  } finally {
    await client.end();
  }
}
