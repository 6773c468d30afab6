/**
 * Tests and handshakes are requests to whomever a URL names: few per subscriber and per host, counted over all api processes.
 * Real: two apis over one PostgreSQL. No worker: nothing is sent.
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { createApi, type Api } from '../../apps/api/src/create-api.js';
import { ADMIN_KEY, configFor, startApi, type ApiFixture } from './api-fixture.js';

const ENV = { POSTHORN_RATE_LIMIT_TEST: '10' };

let fixture: ApiFixture;
let second: Api;

beforeAll(async () => {
  fixture = await startApi(ENV);
  second = await createApi(configFor(fixture.databaseUrl, ENV));
  for (const externalId of ['a', 'b', 'c'])
    await fixture.call('POST', '/v1/subscribers', { name: externalId, externalId });
});
afterAll(async () => {
  await second?.close();
  await fixture?.stop();
});

/** An endpoint, as a path. Hosts are of the test alone: what another has used up is its own affair. */
async function endpointAt(subscriber: string, host: string, verification = 'none'): Promise<string> {
  const path = `/v1/subscribers/${subscriber}/endpoints`;
  const { status, body, text } = await fixture.call('POST', path, { url: `https://${host}/x`, verification });
  if (status !== 201) throw new Error(text);
  return `${path}/${body.id}`;
}

/** All at once, by turns at both apis. */
async function answersOf(paths: string[]): Promise<Response[]> {
  return Promise.all(
    paths.map((path, n) =>
      fetch(`${n % 2 ? second.url : fixture.api.url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${ADMIN_KEY}` },
      }),
    ),
  );
}

const accepted = (answers: Response[]) => answers.filter(({ status }) => status === 202).length;

beforeEach(async () => {
  await fixture.api.database.query('DELETE FROM request_windows');
});

it('five a minute go to one host, whoever sends them and whatever they are', async () => {
  const endpoints = await Promise.all(
    ['a', 'b', 'c'].map((subscriber) => endpointAt(subscriber, 'victim.example', 'challenge')),
  );
  const answers = await answersOf(
    Array.from({ length: 30 }, (_, n) => `${endpoints[n % 3]}/${n % 4 < 2 ? 'test' : 'verify'}`),
  );
  expect(accepted(answers)).toBe(5);
  const refused = answers.find(({ status }) => status === 429)!;
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(60);
  const problem = (await refused.json()) as Record<string, unknown>;
  expect(problem).toMatchObject({ code: 'rate_limited', limit: 5 });
  expect(problem['detail']).toContain('victim.example');
});

it('ten a minute are of one subscriber, wherever they go; others have their own', async () => {
  const mine = await Promise.all(
    Array.from({ length: 15 }, (_, n) => endpointAt('a', `host-${n}.example`, 'challenge')),
  );
  const answers = await answersOf(mine.flatMap((path) => [`${path}/test`, `${path}/verify`]));
  expect(accepted(answers)).toBe(10);
  expect(accepted(await answersOf([`${await endpointAt('b', 'elsewhere.example')}/test`]))).toBe(1);
});

it('a verified endpoint may be tested more, though its host’s few are used up', async () => {
  const [path, stranger] = [
    await endpointAt('a', 'friend.example', 'challenge'),
    await endpointAt('b', 'friend.example'),
  ];
  expect(accepted(await answersOf(Array.from({ length: 8 }, () => `${stranger}/test`)))).toBe(5);
  expect(accepted(await answersOf([`${path}/test`]))).toBe(0);
  await fixture.api.database.query(
    `UPDATE endpoints SET verified_at = now() WHERE url = $1 AND verification = 'challenge'`,
    ['https://friend.example/x'],
  );
  expect(accepted(await answersOf(Array.from({ length: 70 }, () => `${path}/test`)))).toBe(60);
});

it('what is refused at the host costs the subscriber nothing', async () => {
  const [crowded, free] = [await endpointAt('c', 'crowded.example'), await endpointAt('c', 'free.example')];
  expect(accepted(await answersOf(Array.from({ length: 9 }, () => `${crowded}/test`)))).toBe(5);
  const one = await fixture.call('POST', `${free}/test`);
  expect(one.status).toBe(202);
  expect(accepted(await answersOf(Array.from({ length: 9 }, () => `${free}/test`)))).toBe(4);
});
