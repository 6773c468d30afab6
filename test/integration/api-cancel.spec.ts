/**
 * Real: the api over HTTP, PostgreSQL, pg-boss's tables. Not real: the worker; what it did is written by statement.
 * Proves: a person ends a delivery that nobody has in hand, its place and its turn are free at once, and the workers know.
 */
import { fromPublicId } from '@app/domain';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startApi, type ApiFixture } from './api-fixture.js';

let fixture: ApiFixture;
let client: pg.Client;
let endpoint: string;
let acme: string;
const woken: (string | undefined)[] = [];
const call: ApiFixture['call'] = (...request) => fixture.call(...request);
const query = (text: string, values: unknown[] = []) => fixture.api.database.query(text, values);

beforeAll(async () => {
  fixture = await startApi();
  await call('POST', '/v1/event-types', { name: 'a.b' });
  acme = (await call('POST', '/v1/subscribers', { name: 'Acme', externalId: 'acme' })).body.id;
  await call('POST', '/v1/subscribers', { name: 'Other', externalId: 'other' });
  const made = await call('POST', '/v1/subscribers/acme/endpoints', { url: 'http://127.0.0.1:8009/' });
  endpoint = fromPublicId('ep', made.body.id)!;
  client = new pg.Client({ connectionString: fixture.databaseUrl });
  await client.connect();
  client.on('notification', ({ payload }) => woken.push(payload));
  await client.query('LISTEN posthorn_due');
});
afterAll(async () => {
  await client?.end();
  await fixture?.stop();
});

/** A new delivery, by its public id and its uuid. */
async function publish(): Promise<{ path: string; uuid: string }> {
  const { body } = await call('POST', '/v1/events', { subscriber: 'acme', type: 'a.b', data: 1 });
  const event = await call('GET', `/v1/events/${body.id}`);
  const { id } = event.body.deliveries[0];
  return { path: `/v1/deliveries/${id}`, uuid: fromPublicId('dlv', id)! };
}
const lane = async () =>
  (await query('SELECT queued, held, waiting FROM lanes WHERE endpoint_id = $1', [endpoint]))[0];
const keys = () =>
  query('SELECT key, state, delivery_id FROM ordering_keys WHERE endpoint_id = $1', [endpoint]);
const tickets = (id: string) => query('SELECT state::text FROM pgboss.job WHERE id = $1', [id]);

it('a queued one: over, its ticket and its place are gone, and it is told once', async () => {
  const { path, uuid } = await publish();
  expect(await lane()).toEqual({ queued: 1, held: 0, waiting: 0 });
  woken.length = 0;
  const answer = await call('POST', `${path}/cancel`, undefined, { headers: { 'idempotency-key': path } });
  expect(answer.status).toBe(200);
  expect(answer.body).toMatchObject({
    status: 'cancelled',
    cancelReason: 'staff',
    priority: 'normal',
    orderingKey: null,
    gaveUp: null,
    nextAttempt: null,
    finishedAt: expect.any(String),
  });
  expect(await tickets(uuid)).toEqual([]);
  expect(await lane()).toEqual({ queued: 0, held: 0, waiting: 0 });
  await client.query('SELECT 1');
  expect(woken).toEqual([endpoint]);
  const again = await call('POST', `${path}/cancel`, undefined, { headers: { 'idempotency-key': path } });
  expect(again.text).toBe(answer.text);
  expect(fixture.lines.filter((line) => line.message === 'delivery.cancelled')).toHaveLength(1);
  const without = await call('POST', `${path}/cancel`);
  expect(without.body).toMatchObject({
    status: 409,
    code: 'conflict',
    detail: expect.stringContaining('already'),
  });
  // And it can be resent.
  expect((await call('POST', `${path}/resend`)).status).toBe(202);
  await call('POST', `${path}/cancel`);
});

it.each(['held', 'waiting'])('a %s one', async (place) => {
  const { path, uuid } = await publish();
  await query(`UPDATE deliveries SET place = $2 WHERE id = $1`, [uuid, place]);
  await query(`UPDATE lanes SET queued = 0, ${place} = 1 WHERE endpoint_id = $1`, [endpoint]);
  if (place === 'held') await query('DELETE FROM pgboss.job WHERE id = $1', [uuid]);
  expect((await call('POST', `${path}/cancel`)).body.status).toBe('cancelled');
  expect(await lane()).toEqual({ queued: 0, held: 0, waiting: 0 });
  expect(await tickets(uuid)).toEqual([]);
});

it('one that a worker has in hand, one that was delivered and one that failed are left alone', async () => {
  const { path, uuid } = await publish();
  await query(`UPDATE pgboss.job SET state = 'active' WHERE id = $1`, [uuid]);
  const refused = async () => (await call('POST', `${path}/cancel`)).body;
  expect(await refused()).toMatchObject({ code: 'conflict', detail: expect.stringContaining('in hand') });
  expect(await lane()).toEqual({ queued: 1, held: 0, waiting: 0 });
  await query('DELETE FROM pgboss.job WHERE id = $1', [uuid]);
  await query('UPDATE lanes SET queued = 0 WHERE endpoint_id = $1', [endpoint]);
  await query(
    `UPDATE deliveries SET status = 'delivered', place = NULL, due_at = NULL, finished_at = now() WHERE id = $1`,
    [uuid],
  );
  expect(await refused()).toMatchObject({ code: 'conflict', detail: expect.stringContaining('delivered') });
  await query(
    `UPDATE deliveries SET status = 'failed', failure = 'http_4xx', gave_up = 'permanent' WHERE id = $1`,
    [uuid],
  );
  expect(await refused()).toMatchObject({ code: 'conflict', detail: expect.stringContaining('failed') });
  expect((await call('GET', path)).body).toMatchObject({ status: 'failed', gaveUp: 'permanent' });
});

it('in order: whether pending or failed, those behind it follow; another’s turn is not touched', async () => {
  const [busy, behind] = [await publish(), await publish()];
  const { uuid } = busy;
  await query(`UPDATE deliveries SET ordering_key = 'k' WHERE id = ANY($1)`, [[uuid, behind.uuid]]);
  await query(
    `INSERT INTO ordering_keys (endpoint_id, subscriber_id, key, state, delivery_id) VALUES ($1, $2, 'k', 'busy', $3)`,
    [endpoint, fromPublicId('sub', acme), uuid],
  );
  expect((await call('GET', busy.path)).body).toMatchObject({ orderingKey: 'k' });
  expect((await call('POST', `${behind.path}/cancel`)).status).toBe(200);
  expect(await keys()).toEqual([{ key: 'k', state: 'busy', delivery_id: uuid }]);
  expect((await call('POST', `${busy.path}/cancel`)).status).toBe(200);
  expect(await keys()).toEqual([{ key: 'k', state: 'ready', delivery_id: null }]);

  await query(
    `UPDATE deliveries SET status = 'failed', cancel_reason = NULL, failure = 'http_5xx' WHERE id = $1`,
    [uuid],
  );
  await query(`UPDATE ordering_keys SET state = 'blocked', delivery_id = $1`, [uuid]);
  expect((await call('POST', `${busy.path}/cancel`)).body).toMatchObject({
    status: 'cancelled',
    failure: 'http_5xx',
  });
  expect(await keys()).toEqual([{ key: 'k', state: 'ready', delivery_id: null }]);
});

it('is for keys that may resend, and what is not yours is not there', async () => {
  const { path } = await publish();
  const cancel = async (key: string) => (await call('POST', `${path}/cancel`, undefined, { key })).body.code;
  const other = (await call('GET', '/v1/subscribers/other')).body.id;
  expect(await cancel((await fixture.key(['deliveries:read'])).key)).toBe('forbidden');
  expect(await cancel((await fixture.key(['deliveries:resend'], other)).key)).toBe('not_found');
  expect((await call('POST', '/v1/deliveries/dlv_x/cancel')).body.code).toBe('not_found');
  expect(await cancel((await fixture.key(['deliveries:resend'], acme)).key)).toBeUndefined();
});
