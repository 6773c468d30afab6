/** Real: the api with its HTTP server, PostgreSQL (for the keys). Proves: a policy's tries can be looked at beforehand. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startApi, type ApiFixture } from './api-fixture.js';

let fixture: ApiFixture;
beforeAll(async () => void (fixture = await startApi()));
afterAll(() => fixture?.stop());
const preview = (body: unknown, key?: string) =>
  fixture.call('POST', '/v1/retry-policies/preview', body, key === undefined ? {} : { key });

it('shows every try of a policy, complete, to a key that may read endpoints', async () => {
  const { key } = await fixture.key(['endpoints:read']);
  const answer = await preview({ type: 'fixed', delaySeconds: 10, attemptsMax: 3 }, key);
  expect(answer.status).toBe(200);
  expect(answer.body).toEqual({
    policy: {
      type: 'fixed',
      delaySeconds: 10,
      jitter: 'equal',
      attemptsMax: 3,
      ageMaxSeconds: 604_800,
      retryClientErrors: false,
    },
    tries: [
      { n: 1, afterSeconds: { earliest: 0, nominal: 0, latest: 0 } },
      { n: 2, afterSeconds: { earliest: 5, nominal: 10, latest: 10 } },
      { n: 3, afterSeconds: { earliest: 10, nominal: 20, latest: 20 } },
    ],
    lastTryAfterSeconds: { earliest: 10, nominal: 20, latest: 20 },
  });
  const { key: other } = await fixture.key(['events:write']);
  expect((await preview({}, other)).body.code).toBe('forbidden');
});

it('ends when a delivery is too old, whatever attemptsMax says', async () => {
  const { body } = await preview({
    type: 'schedule',
    delaysSeconds: [600],
    attemptsMax: 100,
    ageMaxSeconds: 3600,
    jitter: 'none',
  });
  expect(body.tries).toHaveLength(7);
  expect(body.lastTryAfterSeconds).toEqual({ earliest: 3600, nominal: 3600, latest: 3600 });
});

it.each([
  [{}, 'invalid_retry_policy', '/type'],
  [undefined, 'invalid_retry_policy', '/type'],
  [{ type: 'sometimes' }, 'invalid_retry_policy', '/type'],
  [{ type: 'fixed', delaySeconds: '10' }, 'invalid_retry_policy', '/delaySeconds'],
  [{ type: 'fixed', delaySeconds: null }, 'invalid_retry_policy', '/delaySeconds'],
  [{ type: 'schedule', delaysSeconds: [1, 'x'] }, 'invalid_retry_policy', '/delaysSeconds/1'],
  [{ type: 'fixed', delaySeconds: 1, factor: 2 }, 'invalid_retry_policy', '/factor'],
  [{ type: 'fixed', delaySeconds: 1, colour: 'red' }, 'invalid_request', '/colour'],
])('refuses %j: %s at %s', async (body, code, pointer) => {
  const answer = await preview(body);
  expect(answer.body, answer.text).toMatchObject({ status: 400, code, errors: [{ pointer }] });
});
