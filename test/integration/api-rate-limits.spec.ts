// Real: three apis with their HTTP servers on one PostgreSQL, as behind a load balancer.
import { systemClock, systemRandom } from '@app/domain';
import { ApiKeys } from '@app/endpoints';
import { createLogger, Metrics } from '@app/observability';
import { asSystem, requestLimitsRepository } from '@app/persistence';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createApi, type Api } from '../../apps/api/src/create-api.js';
import { RequestLimits, type LimitPolicy } from '../../apps/api/src/edge/request-limits.js';
import { createTestDatabase } from '../support/database.js';
import { ADMIN_KEY, configFor } from './api-fixture.js';

const QUOTA = 60;
const WRONG_KEYS = 20;
let database: Awaited<ReturnType<typeof createTestDatabase>>;
let apis: Api[];
const lines: Record<string, unknown>[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  const logger = createLogger({ level: 'info', process: 'api' });
  logger.info = ((fields: object, message: string) => void lines.push({ ...fields, message })) as never;
  const config = configFor(database.url, {
    POSTHORN_RATE_LIMIT_KEY: String(QUOTA),
    POSTHORN_RATE_LIMIT_PUBLISH: String(QUOTA),
    POSTHORN_RATE_LIMIT_ADDRESS: '1000',
    POSTHORN_RATE_LIMIT_AUTHENTICATION: String(WRONG_KEYS),
  });
  apis = [];
  for (let n = 0; n < 3; n++) apis.push(await createApi(config, { logger }));
});
afterAll(async () => {
  for (const api of apis ?? []) await api.close();
  await database?.drop();
});

/** As after the minute: every window has ended, and the apis' memory of who was refused is beside the point of others. */
beforeEach(() => apis[0].database.query('DELETE FROM request_windows'));

const ask = (api: Api, path = '/v1/subscribers?limit=1', key = ADMIN_KEY, init: RequestInit = {}) =>
  fetch(api.url + path, { ...init, headers: { authorization: `Bearer ${key}`, ...init.headers } });
const newKey = async (): Promise<string> => {
  const keys = new ApiKeys(apis[0].database, systemClock, systemRandom, 'live');
  const wanted = { name: 'test', scopes: ['admin' as const], subscriberId: null, expiresAt: null };
  const made = await asSystem(() => apis[0].database.transaction((tx) => keys.create(tx, wanted)));
  return made.key;
};
const statusesOf = (replies: Response[]) => {
  const counts: Record<number, number> = {};
  for (const { status } of replies) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
};

describe('requests of one key', () => {
  it('pass exactly as many times as the quota says, over three processes at once', async () => {
    const key = await newKey();
    const replies = await Promise.all(
      Array.from({ length: QUOTA + 90 }, (_, n) => ask(apis[n % 3], undefined, key)),
    );
    expect(statusesOf(replies)).toEqual({ 200: QUOTA, 429: 90 });
    // What each was told remains is a number of its own: none was counted twice or not at all.
    const remaining = replies
      .filter(({ status }) => status === 200)
      .map(({ headers }) => Number(/"key";r=(\d+);t=\d+/.exec(headers.get('ratelimit')!)![1]));
    expect(remaining.toSorted((a, b) => a - b)).toEqual(Array.from({ length: QUOTA }, (_, n) => n));
    // Another key has a quota of its own.
    expect((await ask(apis[0], undefined, await newKey())).status).toBe(200);
  });

  it('say in every answer what is left, and in a refusal when to come back', async () => {
    const key = await newKey();
    const first = await ask(apis[0], undefined, key);
    expect(first.headers.get('ratelimit-policy')).toBe('"key";q=60;w=60, "address";q=1000;w=60');
    expect(first.headers.get('ratelimit')).toMatch(/^"key";r=59;t=60, "address";r=\d+;t=\d+$/);
    expect(xHeaders(first)).toEqual(['60', '59', '60']);

    for (let n = 1; n < QUOTA; n++) await ask(apis[n % 3], undefined, key);
    // The second comes from the memory of the process, and says the same.
    for (const api of [apis[0], apis[0], apis[1]]) {
      const refused = await ask(api, undefined, key);
      const body = (await refused.json()) as Record<string, unknown>;
      expect(refused.status).toBe(429);
      expect(refused.headers.get('content-type')).toMatch(/^application\/problem\+json/);
      expect(body).toMatchObject({
        type: 'urn:posthorn:problem:rate_limited',
        code: 'rate_limited',
        'violated-policies': ['key'],
        limit: QUOTA,
      });
      expect(refused.headers.get('ratelimit-policy')).toBe('"key";q=60;w=60');
      const [, r, t] = /^"key";r=(\d+);t=(\d+)$/.exec(refused.headers.get('ratelimit')!)!;
      expect(r).toBe('0');
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(Number(t));
      expect(Number(t)).toBeGreaterThan(0);
      expect(Number(t)).toBeLessThanOrEqual(60);
      expect(xHeaders(refused)).toEqual(['60', '0', t]);
    }
    expect(lines).toContainEqual(
      expect.objectContaining({
        message: 'request.handled',
        status: 429,
        code: 'rate_limited',
        policy: 'key',
      }),
    );
    const metrics = await (await ask(apis[0], '/metrics')).text();
    expect(metrics).toMatch(/posthorn_requests_limited_total\{policy="key"\} [1-9]/);
  });

  it('begin anew when the window has ended, and not before', async () => {
    const key = await newKey();
    await Promise.all(Array.from({ length: QUOTA }, (_, n) => ask(apis[n % 3], undefined, key)));
    const end = (seconds: number) =>
      apis[0].database.query('UPDATE request_windows SET ends_at = now() + make_interval(secs => $1)', [
        seconds,
      ]);
    await end(0.4);
    const refused = await ask(apis[1], undefined, key);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1']);
    expect(((await refused.json()) as { 'violated-policies': string[] })['violated-policies']).toEqual([
      'key',
    ]);
    // Never early: the first that passes comes after the end, by the database's clock.
    let reply: Response;
    do reply = await ask(apis[1], undefined, key);
    while (reply.status === 429);
    const [{ ended }] = await apis[0].database.query<{ ended: boolean }>(
      `SELECT ends_at > now() + interval '50 seconds' AS ended FROM request_windows WHERE name LIKE 'key %'`,
    );
    expect([reply.status, ended]).toEqual([200, true]);
    expect(reply.headers.get('ratelimit')).toMatch(/"key";r=59;t=60/);
  });

  it('are counted apart when they publish, and not at all where the quota is 0', async () => {
    const key = await newKey();
    const publish = () =>
      ask(apis[0], '/v1/events', key, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{}',
      });
    const reply = await publish();
    expect([reply.status, reply.headers.get('ratelimit-policy')]).toEqual([400, '"publish";q=60;w=60']);
    expect((await ask(apis[0], undefined, key)).headers.get('ratelimit')).toMatch(/^"key";r=59/);
    const free = await createApi(configFor(database.url, { POSTHORN_RATE_LIMIT_ADDRESS: '0' }));
    try {
      const unlimited = await ask(free, '/v1/events', key, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{}',
      });
      expect([unlimited.status, unlimited.headers.get('ratelimit')]).toEqual([400, null]);
    } finally {
      await free.close();
    }
  });
});

describe('requests of one address', () => {
  it('without a valid key are refused after so many, right keys included, but none that is in use here', async () => {
    const inUse = await newKey();
    expect((await ask(apis[0], undefined, inUse)).status).toBe(200);
    // What its first use cost is given back, a little after the answer.
    await expect
      .poll(() =>
        apis[0].database.query(`SELECT used FROM request_windows WHERE name LIKE 'authentication %'`),
      )
      .toEqual([{ used: 0 }]);
    const fresh = await newKey();
    const wrong = () => `${fresh.slice(0, -8)}${Math.random().toString(36).slice(2, 10).padEnd(8, '0')}`;
    const guesses = await Promise.all(
      Array.from({ length: WRONG_KEYS + 25 }, (_, n) => ask(apis[n % 3], undefined, n % 5 ? wrong() : '')),
    );
    expect(statusesOf(guesses)).toEqual({ 401: WRONG_KEYS, 429: 25 });
    // Nothing distinguishes a right key from a wrong one: neither is looked at.
    const [right, stillWrong] = [
      await ask(apis[1], undefined, fresh),
      await ask(apis[1], undefined, wrong()),
    ];
    const bodies = [await right.json(), await stillWrong.json()] as Record<string, unknown>[];
    for (const body of bodies) delete body['requestId'];
    expect(bodies[0]).toEqual(bodies[1]);
    expect(bodies[0]).toMatchObject({ code: 'rate_limited', 'violated-policies': ['authentication'] });
    expect((await ask(apis[0], undefined, inUse)).status).toBe(200);
    // Documentation and probes need no key.
    for (const path of ['/docs', '/health/live']) expect((await ask(apis[0], path, 'x')).status).toBe(200);
  });

  it('are counted whatever they ask for, but for probes', async () => {
    const small = await createApi(configFor(database.url, { POSTHORN_RATE_LIMIT_ADDRESS: '5' }));
    try {
      const replies = await Promise.all(
        [
          '/docs',
          '/openapi.json',
          '/v1/subscribers',
          '/v1/nothing',
          '/nothing',
          '/docs',
          '/v1/subscribers',
        ].map((path) => ask(small, path)),
      );
      expect(replies.filter(({ status }) => status === 429)).toHaveLength(2);
      for (const path of ['/health/live', '/health/ready']) expect((await ask(small, path)).status).toBe(200);
    } finally {
      await small.close();
    }
  });
});

describe('who is counted', () => {
  it('by its tokens is one customer, however many it has', async () => {
    const small = await createApi(configFor(database.url, { POSTHORN_RATE_LIMIT_CUSTOMER: '5' }));
    try {
      const post = (path: string, body: object) =>
        ask(small, path, ADMIN_KEY, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        }).then((reply) => reply.json() as Promise<{ id: string; token: string }>);
      const tokensOf = async (name: string) => {
        const { id } = await post('/v1/subscribers', { name, externalId: name });
        return Promise.all([1, 2].map(() => post(`/v1/subscribers/${id}/access-tokens`, {})));
      };
      const [mine, theirs] = [await tokensOf('mine'), await tokensOf('theirs')];
      const look = (name: string, { token }: { token: string }) =>
        ask(small, `/v1/subscribers/${name}`, token);
      const replies = await Promise.all(Array.from({ length: 8 }, (_, n) => look('mine', mine[n % 2])));
      expect(statusesOf(replies)).toEqual({ 200: 5, 429: 3 });
      const reply = await look('theirs', theirs[0]);
      expect([reply.status, reply.headers.get('ratelimit')]).toEqual([
        200,
        expect.stringMatching(/^"customer";r=4;t=60/),
      ]);
    } finally {
      await small.close();
    }
  });

  it('by its address is who a trusted proxy says; nobody else may say', async () => {
    const limits = { POSTHORN_RATE_LIMIT_ADDRESS: '3' };
    const trusting = await createApi(
      configFor(database.url, { ...limits, POSTHORN_TRUSTED_PROXIES: '127.0.0.0/8' }),
    );
    const alone = await createApi(configFor(database.url, limits));
    try {
      const from = (api: Api, address: string) =>
        ask(api, undefined, ADMIN_KEY, { headers: { 'x-forwarded-for': address } }).then(
          ({ status }) => status,
        );
      // Another address of the same /64 is the same client.
      const asked = [
        '2001:db8::1',
        '2001:db8::2',
        '2001:db8::3',
        '2001:db8::4',
        '2001:db8:0:1::1',
        '198.51.100.1',
      ];
      const counted: number[] = [];
      for (const address of asked) counted.push(await from(trusting, address));
      expect(counted).toEqual([200, 200, 200, 429, 200, 200]);
      const invented: number[] = [];
      for (const address of asked) invented.push(await from(alone, address));
      expect(invented).toEqual([200, 200, 200, 429, 429, 429]);
    } finally {
      await trusting.close();
      await alone.close();
    }
  });
});

describe('counting', () => {
  const policy: LimitPolicy = { name: 'test', quota: 3 };

  it('takes one statement for all that comes in a turn, and the next for all that comes meanwhile', async () => {
    let statements = 0;
    const counted = {
      prepared: (...args: Parameters<Api['database']['prepared']>) => {
        statements++;
        return apis[0].database.prepared(...args);
      },
    } as unknown as Api['database'];
    const limits = new RequestLimits(counted, new Metrics(), () => performance.now());
    const take = (n: number) =>
      Array.from({ length: n }, (_, at) => limits.take([{ policy, who: `a${at % 4}` }]));
    const first = take(20);
    await new Promise((resolve) => setImmediate(resolve));
    const answers = await Promise.all([...first, ...take(20)]);
    expect(statements).toBe(2);
    expect(answers.flatMap((each) => each!).filter(({ allowed }) => allowed)).toHaveLength(4 * policy.quota);
    // Who is refused once is refused from memory until the window ends.
    expect((await Promise.all(take(20))).every((each) => !each![0].allowed)).toBe(true);
    expect(statements).toBe(2);
  });

  it('lets requests in when the database fails or does not answer, and tells', async () => {
    const metrics = new Metrics();
    const failing = { prepared: () => Promise.reject(new Error('away')) } as unknown as Api['database'];
    expect(await new RequestLimits(failing, metrics, () => 0).take([{ policy, who: 'b' }])).toBeNull();
    let answer: (rows: unknown[]) => void = () => {};
    const hanging = {
      prepared: () => new Promise((resolve) => (answer = resolve)),
    } as unknown as Api['database'];
    const limits = new RequestLimits(hanging, metrics, () => 0);
    expect(await limits.take([{ policy, who: 'b' }])).toBeNull();
    // While it hangs nobody waits for it.
    expect(await limits.take([{ policy, who: 'b' }])).toBeNull();
    expect((await metrics.requestsUncounted.get()).values[0].value).toBe(3);
    answer([{ name: 'test b', used: 1, seconds: 60 }]);
    await new Promise((resolve) => setImmediate(resolve));
    const again = limits.take([{ policy, who: 'b' }]);
    await new Promise((resolve) => setImmediate(resolve));
    answer([{ name: 'test b', used: 2, seconds: 59.2 }]);
    expect(await again).toEqual([{ policy, allowed: true, remaining: 1, resetSeconds: 60 }]);
  });

  it('leaves nothing behind: windows that ended are deleted', async () => {
    await apis[0].database.query(
      `INSERT INTO request_windows SELECT 'old ' || n, 1, now() - interval '2 minutes' FROM generate_series(1, 30) n`,
    );
    expect(await requestLimitsRepository.deleteEnded(apis[0].database, 20)).toBe(20);
    expect(await requestLimitsRepository.deleteEnded(apis[0].database, 20)).toBe(10);
    expect(await requestLimitsRepository.deleteEnded(apis[0].database, 20)).toBe(0);
  });
});

function xHeaders({ headers }: Response): (string | null)[] {
  return ['limit', 'remaining', 'reset'].map((name) => headers.get(`x-ratelimit-${name}`));
}
