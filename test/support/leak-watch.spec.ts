// Real: PostgreSQL with our migrations. What serves lists and metrics is a stand-in that leaks.
// Plants a secret in each place that a test is searched in at its end, and sees that it is found there.
import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { createClient } from './client.js';
import { createTestDatabase } from './database.js';
import { leaks } from './leak-watch.js';

const secret = `whsec_${randomBytes(32).toString('base64')}`;
const shown = `whsec_${randomBytes(32).toString('base64')}`;

let database: Awaited<ReturnType<typeof createTestDatabase>>;
let admin: pg.Client;
let server: Server;
let url: string;
/** What the stand-in answers to a path, the longest that fits. */
let answers: Record<string, [number, unknown]>;

beforeAll(async () => {
  database = await createTestDatabase();
  admin = new pg.Client({ connectionString: database.adminUrl });
  await admin.connect();
  server = createServer((request, response) => {
    const path = request.url!.split('?', 1)[0];
    const [status, body] = answers[`${request.method} ${path}`] ?? [404, {}];
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    response.writeHead(status, { 'content-type': 'application/json' }).end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server?.close();
  await admin?.end();
  await database?.drop();
});
beforeEach(() => {
  answers = {};
  leaks.begin();
  leaks.remember('signing secret', secret);
});

const insertJob = (id: string) =>
  admin.query(`INSERT INTO pgboss.job (id, name, data) VALUES ($1, 'deliver', $2)`, [id, { oops: secret }]);

const PLANTED: Record<string, [where: RegExp, plant: () => Promise<unknown>]> = {
  'a log line': [
    /the output of a worker/,
    () => Promise.resolve(leaks.output('the output of a worker')(`{"level":30,"secret":"${secret}"}\n`)),
  ],
  'a job': [
    /pgboss\.job\.data/,
    async () => {
      await insertJob('0193a2f0-0000-7000-8000-000000000001');
      await leaks.database(database.adminUrl);
      await admin.query('DELETE FROM pgboss.job');
    },
  ],
  'a column that is not for it': [
    /subscribers\.metadata/,
    async () => {
      await admin.query(
        `INSERT INTO subscribers (id, name, metadata) VALUES ('0193a2f0-0000-7000-8000-000000000002', 'x', $1)`,
        [{ note: secret }],
      );
      await leaks.database(database.adminUrl);
      await admin.query('DELETE FROM subscribers');
    },
  ],
  "the database server's log": [
    /the log of PostgreSQL/,
    async () => {
      await admin.query(`SELECT '${secret}'::int`).catch(() => undefined);
      await leaks.database(database.adminUrl);
    },
  ],
  'a label of a metric': [
    /metrics/,
    async () => {
      answers['GET /metrics'] = [200, `attempts_total{secret="${secret}"} 1\n`];
      await leaks.inspect([{ url }], 'key');
    },
  ],
  'a list': [
    /the list \/v1\/deliveries/,
    async () => {
      answers['GET /v1/subscribers'] = [200, { data: [] }];
      answers['GET /v1/deliveries'] = [200, { data: [{ id: 'dlv_1', secret }] }];
      await leaks.inspect([{ url }], 'key');
    },
  ],
  'an error that a test was answered': [
    /the answer to POST \/v1\/subscribers 400/,
    async () => {
      answers['POST /v1/subscribers'] = [400, { detail: `${secret} is not a name` }];
      await createClient({ url, key: 'key' }).request('POST', '/v1/subscribers', { name: secret });
    },
  ],
};

it.each(Object.entries(PLANTED))('%s is found', async (_, [where, plant]) => {
  await plant();
  await expect(leaks.verdict()).rejects.toThrow(where);
});

it('what is shown where it belongs is learnt there, and found elsewhere', async () => {
  answers['POST /v1/subscribers/x/endpoints'] = [201, { id: 'ep_1', secret: shown }];
  const client = createClient({ url, key: 'key' });
  await client.createEndpoint('x', { url: 'https://a.example' });
  await expect(leaks.verdict()).resolves.toBeUndefined();

  leaks.begin();
  const said = leaks.output('the output of an api');
  await client.createEndpoint('x', { url: 'https://a.example', headers: { 'x-mine': 'a value of mine' } });
  said(`${shown.slice('whsec_'.length)}, a value of mine`);
  await expect(leaks.verdict()).rejects.toThrow(
    /^Leaked:\nsigning secret in the output[^\n]*\nheader value in/,
  );
});

it('the mark of a payload may be in its event, and nowhere else', async () => {
  answers['POST /v1/events'] = [202, { id: 'evt_1' }];
  answers['GET /v1/events/evt_1'] = [200, { data: { mark: 'a mark of mine' } }];
  const client = createClient({ url, key: 'key' });
  await client.publish({
    subscriber: 'x',
    type: 'thing.happened',
    data: { deep: { mark: 'a mark of mine' } },
  });
  await client.get('/v1/events/evt_1');
  await expect(leaks.verdict()).resolves.toBeUndefined();

  leaks.begin();
  answers['GET /v1/events'] = [200, { data: [{ mark: 'a mark of mine' }] }];
  await client.publish({ subscriber: 'x', type: 'thing.happened', data: { mark: 'a mark of mine' } });
  await client.get('/v1/events');
  await expect(leaks.verdict()).rejects.toThrow('payload in the answer to GET /v1/events 200');
});
