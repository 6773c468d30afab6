/**
 * Real: the api over HTTP, PostgreSQL, pg-boss's tables. Not real: the worker; what it did is written by statement.
 * Proves: the question "why has this not arrived?" is answered from what is stored, to whom it belongs and to nobody else.
 */
import { DELIVER_QUEUE } from '@app/contracts';
import { fromPublicId, newId, systemRandom, toPublicId } from '@app/domain';
import { DeliverQueue } from '@app/queue';
import { afterAll, beforeEach, beforeAll, expect, it } from 'vitest';
import { startApi, type ApiFixture } from './api-fixture.js';

let fixture: ApiFixture;
let acme: string;
let other: string;
let endpoint: string;
let base: string;
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
beforeEach(async () => {
  if (base) await call('DELETE', base);
  const made = await call('POST', '/v1/subscribers/acme/endpoints', { url: 'http://127.0.0.1:8009/' });
  endpoint = fromPublicId('ep', made.body.id)!;
  base = `/v1/subscribers/${acme}/endpoints/${made.body.id}`;
  await aWorkerWasSeen(0);
});

/** As its supervision of the queue leaves it, so many seconds ago. */
const aWorkerWasSeen = (ago: number) =>
  query(`UPDATE pgboss.queue SET monitor_claim_on = now() - $1 * interval '1 second'`, [ago]);

/** A new delivery, by its public id and its uuid. */
async function publish(): Promise<{ id: string; path: string; uuid: string }> {
  const { body } = await call('POST', '/v1/events', { subscriber: 'acme', type: 'a.b', data: 1 });
  const event = await call('GET', `/v1/events/${body.id}`);
  const [{ id }] = event.body.deliveries;
  return { id, path: `/v1/deliveries/${id}`, uuid: fromPublicId('dlv', id)! };
}
const explain = async (path: string) => {
  const answer = await call('GET', `${path}/explain`);
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
};
const pathOf = (id: string) => `/v1/deliveries/${toPublicId('dlv', id)}`;
const setLane = (set: string) => query(`UPDATE lanes SET ${set} WHERE endpoint_id = $1`, [endpoint]);

it('one that was just published, and one behind it', async () => {
  const first = await publish();
  await query(`UPDATE deliveries SET due_at = due_at - interval '1 second' WHERE id = $1`, [first.uuid]);
  const second = await publish();
  expect(await explain(first.path)).toEqual({
    delivery: first.id,
    status: 'pending',
    answer: expect.stringContaining('next free worker'),
    waitsFor: { code: 'worker', until: null, detail: expect.objectContaining({ ticket: 'unclaimed' }) },
    lastFailure: null,
    gaveUp: null,
    toSendNow: [],
  });
  expect((await explain(second.path)).waitsFor).toEqual({
    code: 'backlog',
    until: null,
    detail: { ahead: 1, more: false, queued: 2, window: 128 },
  });
  await query(`UPDATE pgboss.job SET state = 'active' WHERE id = $1`, [second.uuid]);
  expect((await explain(second.path)).waitsFor.code).toBe('in_flight');
});

it('one that has a place, behind others that were held before they got theirs', async () => {
  const { path, uuid: id } = await publish();
  const ids = Array.from({ length: 6 }, uuid);
  await query(
    `INSERT INTO deliveries (id, subscriber_id, event_id, endpoint_id, event_type, status, place, trigger, due_at)
     SELECT n, $1, $2, $3, 'a.b', 'pending', 'held', 'event', now() - interval '1 hour' FROM unnest($4::uuid[]) AS n`,
    [fromPublicId('sub', acme), uuid(), endpoint, ids],
  );
  // From both ends, as promotions behind a backlog.
  await query(
    `UPDATE deliveries SET place = 'queued', due_at = now() - interval '1 minute' WHERE id = ANY($1::uuid[])`,
    [[ids[0], ids[4], ids[5]]],
  );
  await setLane('queued = 4, held = 3');
  expect((await explain(path)).waitsFor).toMatchObject({
    code: 'backlog',
    detail: { ahead: 3, more: false },
  });
  await query(`UPDATE deliveries SET place = 'held' WHERE id = $1`, [id]);
  await query('DELETE FROM pgboss.job WHERE id = $1', [id]);
  await setLane('queued = 3, held = 4');
  expect((await explain(path)).waitsFor).toMatchObject({
    code: 'backlog',
    detail: { ahead: 6, more: false },
  });
});

/** Tickets that are due since `due` seconds, and were made `made` seconds ago. */
async function insertTickets(
  ids: string[],
  { made, due, priority = 0 }: { made: number; due: number; priority?: number },
) {
  await query(
    `INSERT INTO pgboss.job (id, name, data, priority, start_after, created_on, group_id, policy, heartbeat_seconds)
     SELECT n, $2, '{}', $3, now() - $4 * interval '1 second', now() - $5 * interval '1 second', $6, 'standard', 12
       FROM unnest($1::uuid[]) AS n`,
    [ids, DELIVER_QUEUE, priority, due, made, endpoint],
  );
}

/** As a promotion that long ago: what is held goes to the queue, with a ticket. */
async function promote(id: string, since: number) {
  await query(
    `UPDATE deliveries SET place = 'queued', due_at = now() - $2 * interval '1 second', due_because = NULL WHERE id = $1`,
    [id, since],
  );
  await insertTickets([id], { made: since, due: since, priority: 1 });
}

/** Deliveries as statements have them: `since` seconds ago they were due where they are. */
async function insert(n: number, place: string, since: number, more: { critical?: boolean } = {}) {
  const ids = Array.from({ length: n }, uuid);
  await query(
    `INSERT INTO deliveries (id, subscriber_id, event_id, endpoint_id, event_type, status, place, trigger, due_at, critical)
     SELECT n, $1, $2, $3, 'a.b', 'pending', $5, CASE WHEN $5 = 'waiting' THEN 'retry' ELSE 'event' END, now() - $6 * interval '1 second', $7
       FROM unnest($4::uuid[]) AS n`,
    [fromPublicId('sub', acme), uuid(), endpoint, ids, place, since, more.critical ?? false],
  );
  return ids;
}

it('one that is due while no worker runs, by the sign of life that workers give', async () => {
  const { id, path, uuid } = await publish();
  await query(`UPDATE deliveries SET due_at = due_at - interval '20 minutes' WHERE id = $1`, [uuid]);
  await insert(2, 'queued', 3600);
  await setLane('queued = 3');
  expect(await explain(path)).toMatchObject({
    answer: expect.stringMatching(
      /no worker has taken it: 2 are before it .* see whether they have free slots/,
    ),
    waitsFor: { code: 'backlog', detail: { ahead: 2, queued: 3, workersSeenAt: expect.any(String) } },
  });
  await aWorkerWasSeen(600);
  expect(await explain(path)).toMatchObject({
    delivery: id,
    answer: expect.stringMatching(
      /since .* no worker has given a sign of life since .*: nothing is sent until one runs\. Then 2 are/,
    ),
    waitsFor: { code: 'worker', detail: { ahead: 2, ticket: 'unclaimed' } },
    toSendNow: [],
  });
  const worker = new DeliverQueue(fixture.api.database, { supervise: true, on: () => undefined });
  await worker.start();
  const codes: string[] = [];
  while (!codes.includes('backlog')) codes.push((await explain(path)).waitsFor.code);
  await worker.stop();
});

it('one behind others that were promoted, and stand between those that are held: it does not say that none is before it', async () => {
  const { path, uuid: id } = await publish();
  const [, , promoted] = await insert(3, 'held', 3600);
  await promote(promoted, 60);
  await setLane('queued = 2, held = 2');
  expect((await explain(path)).waitsFor.detail).toMatchObject({ ahead: 1, more: false });
  // Held since: with two queued, two are looked at from either end.
  await insert(10, 'held', 30);
  await setLane('queued = 2, held = 12');
  expect(await explain(path)).toMatchObject({
    answer: 'It is due, and others may be before it for the same endpoint.',
    waitsFor: { code: 'backlog', detail: { ahead: 0, more: true, queued: 2 } },
  });
  await query(`UPDATE deliveries SET due_at = due_at - interval '20 minutes' WHERE id = $1`, [id]);
  const overdue = await explain(path);
  expect(overdue.waitsFor).toMatchObject({ code: 'backlog', detail: { ahead: 0, more: true, queued: 2 } });
  expect(overdue.waitsFor.detail.waitedSeconds).toBeGreaterThanOrEqual(1200);
  expect(overdue.answer).toMatch(
    /no worker has taken it: others may be before it .* see whether they have free slots/,
  );
});

it('the only one of the queue, out of reach of both ends of what is held: it is not one of the others', async () => {
  await insert(5, 'held', 7200);
  const [id] = await insert(1, 'held', 3600);
  await insert(5, 'held', 30);
  await promote(id, 1200);
  await setLane('queued = 1, held = 10');
  expect(await explain(pathOf(id))).toMatchObject({
    answer: expect.stringMatching(/no worker has taken it: workers run: see whether they have free slots/),
    waitsFor: { code: 'worker', detail: { ticket: 'unclaimed' } },
  });
});

it('retries that are due go by when they failed, which is when their tickets were made, and not by when they were due', async () => {
  const [early] = await insert(1, 'waiting', 60);
  const [late] = await insert(1, 'waiting', 300);
  await insertTickets([early], { made: 7200, due: 60 });
  await insertTickets([late], { made: 600, due: 300 });
  await setLane('waiting = 2');
  expect((await explain(pathOf(early))).waitsFor.code).toBe('worker');
  expect((await explain(pathOf(late))).waitsFor).toMatchObject({
    code: 'backlog',
    detail: { ahead: 1, more: false },
  });
});

it('a retry behind more that have been due for longer than are looked at: older tickets may be among the rest', async () => {
  const [id] = await insert(1, 'waiting', 10);
  const longerDue = await insert(1001, 'waiting', 20);
  await insertTickets([id], { made: 60, due: 10 });
  await insertTickets(longerDue, { made: 30, due: 20 });
  await setLane('waiting = 1002');
  expect((await explain(pathOf(id))).waitsFor).toMatchObject({
    code: 'backlog',
    detail: { ahead: 0, more: true },
  });
});

it('one behind critical ones that are newer, in the queue and out of it', async () => {
  const { path, uuid: id } = await publish();
  await query(`UPDATE deliveries SET due_at = due_at - interval '1 minute' WHERE id = $1`, [id]);
  await query(`UPDATE pgboss.job SET created_on = created_on - interval '1 minute' WHERE id = $1`, [id]);
  await insert(2, 'queued', 1, { critical: true });
  await insert(4, 'queued', 1);
  await setLane('queued = 7');
  expect((await explain(path)).waitsFor.detail).toMatchObject({ ahead: 2, more: false });
  await insert(3, 'held', 1, { critical: true });
  await insert(5, 'held', 1);
  const [, old] = await insert(2, 'held', 120);
  const critical = await insert(1, 'held', 100, { critical: true });
  await query(`UPDATE deliveries SET place = 'held' WHERE id = $1`, [id]);
  await query('DELETE FROM pgboss.job WHERE id = $1', [id]);
  await setLane('queued = 6, held = 12');
  expect((await explain(path)).waitsFor.detail).toMatchObject({ ahead: 6 + 4 + 2 });
  expect((await explain(pathOf(old))).waitsFor.detail).toMatchObject({ ahead: 6 + 4 + 1 });
  expect((await explain(pathOf(critical[0]))).waitsFor.detail).toMatchObject({ ahead: 6 });
});

it('a retry that is due, behind what was just published and retries that have been due for longer', async () => {
  const { path } = await publish();
  const [retry] = await insert(1, 'waiting', 10);
  await insert(3, 'waiting', 20);
  await insert(3, 'waiting', 5);
  await insert(3, 'waiting', -20);
  await setLane('queued = 1, waiting = 10');
  expect((await explain(pathOf(retry))).waitsFor).toMatchObject({
    code: 'backlog',
    detail: { ahead: 4, more: false },
  });
  expect((await explain(path)).waitsFor.code).toBe('worker');
});

it('one that failed and waits for its next try; what it offers can be asked for', async () => {
  const { path, uuid: id } = await publish();
  await query(
    `INSERT INTO attempts (id, subscriber_id, delivery_id, endpoint_id, n, trigger, status, url, scheduled_at, started_at,
                           finished_at, total_ms, failure, failure_detail, worker)
     VALUES ($1, $2, $3, $4, 1, 'event', 'failed', 'http://x', now(), now(), '2026-01-01T00:00:00Z', 1, 'connect_refused',
             'connect: ECONNREFUSED', 'w')`,
    [uuid(), fromPublicId('sub', acme), id, endpoint],
  );
  await query(
    `UPDATE deliveries SET place = 'waiting', trigger = 'retry', attempts = 1, tries = 1, due_at = now() + interval '1 hour',
            due_because = 'retry_schedule', failure = 'connect_refused' WHERE id = $1`,
    [id],
  );
  await query(`UPDATE pgboss.job SET start_after = now() + interval '1 hour' WHERE id = $1`, [id]);
  await setLane('queued = 0, waiting = 1');
  const explained = await explain(path);
  expect(explained).toMatchObject({
    waitsFor: { code: 'due_time', detail: { because: 'retry_schedule', attempt: 2 } },
    lastFailure: {
      class: 'connect_refused',
      chargeTo: 'receiver',
      at: '2026-01-01T00:00:00.000Z',
      sentence: 'Nothing listens there (connect: ECONNREFUSED).',
    },
  });
  const [way] = explained.toSendNow;
  expect((await call(way.method, way.path)).body.result).toBe('brought_forward');
  expect((await explain(path)).waitsFor.code).toBe('worker');
});

it('one whose endpoint is paused, and one whose circuit is open; its timeline tells when', async () => {
  const { path, uuid: id } = await publish();
  await setLane(
    `circuit = 'open', opened_at = now(), open_until = now() + interval '10 minutes', trips = 1, held = 1, queued = 0`,
  );
  await query(`UPDATE deliveries SET place = 'held' WHERE id = $1`, [id]);
  await query('DELETE FROM pgboss.job WHERE id = $1', [id]);
  const transition = (at: string, kind: string, detail: object) =>
    query(
      `INSERT INTO lane_transitions (id, subscriber_id, endpoint_id, at, kind, detail) VALUES ($1, $2, $3, ${at}, $4, $5)`,
      [uuid(), fromPublicId('sub', acme), endpoint, kind, detail],
    );
  await transition(`now() - interval '1 hour'`, 'circuit_closed', {});
  await transition('now()', 'circuit_opened', { reason: 'timeout_rate', until: '2030-01-01T00:00:00.000Z' });
  expect(await explain(path)).toMatchObject({
    answer: expect.stringContaining('half of the attempts of a minute timed out'),
    waitsFor: {
      code: 'circuit',
      until: expect.any(String),
      detail: { state: 'open', trips: 1, isProbe: false },
    },
  });
  const shown = await call('GET', path);
  expect(shown.body.nextAttempt).toMatchObject({ at: null, code: 'circuit' });
  expect(shown.body.laneTransitions).toEqual([
    {
      at: expect.any(String),
      kind: 'circuit_opened',
      detail: expect.any(Object),
      text: expect.stringContaining('timed out'),
    },
  ]);
  await call('POST', `${base}/pause`);
  const paused = await explain(path);
  expect(paused.waitsFor.code).toBe('paused');
  expect((await call(paused.toSendNow[0].method, paused.toSendNow[0].path)).body.pausedAt).toBeNull();
});

it('one in order, behind one that has failed', async () => {
  const [blocker, behind] = [await publish(), await publish()];
  await query(`UPDATE deliveries SET ordering_key = 'k', place = 'held' WHERE id = ANY($1)`, [
    [blocker.uuid, behind.uuid],
  ]);
  await query(
    `UPDATE deliveries SET status = 'failed', place = NULL, due_at = NULL, failure = 'http_4xx', gave_up = 'permanent',
            finished_at = now() WHERE id = $1`,
    [blocker.uuid],
  );
  await query('DELETE FROM pgboss.job WHERE id = ANY($1)', [[blocker.uuid, behind.uuid]]);
  await setLane('queued = 0, held = 1');
  await query(
    `INSERT INTO ordering_keys (endpoint_id, subscriber_id, key, state, delivery_id) VALUES ($1, $2, 'k', 'blocked', $3)`,
    [endpoint, fromPublicId('sub', acme), blocker.uuid],
  );
  const explained = await explain(behind.path);
  expect(explained.answer).toContain(blocker.id);
  expect(explained.waitsFor).toMatchObject({
    code: 'order',
    detail: { orderingKey: 'k', before: blocker.id, blocked: true },
  });
  expect(await explain(blocker.path)).toMatchObject({
    status: 'failed',
    gaveUp: 'permanent',
    answer: expect.stringContaining('Those behind it'),
  });
  const letGo = explained.toSendNow[1];
  expect((await call(letGo.method, letGo.path)).body.status).toBe('cancelled');
  expect((await explain(behind.path)).waitsFor.code).toBe('worker');
});

it('one that was delivered, and one that was cancelled', async () => {
  const { path, uuid: id } = await publish();
  await call('POST', `${path}/cancel`);
  expect(await explain(path)).toMatchObject({
    waitsFor: { code: 'nothing' },
    answer: expect.stringContaining('by hand'),
  });
  await query(
    `UPDATE deliveries SET status = 'delivered', cancel_reason = NULL, attempts = 1 WHERE id = $1`,
    [id],
  );
  expect(await explain(path)).toMatchObject({
    status: 'delivered',
    answer: expect.stringContaining('first attempt'),
  });
});

it('is for keys that may read deliveries; what is not yours is not there', async () => {
  const { path } = await publish();
  const code = async (key: string) => (await call('GET', `${path}/explain`, undefined, { key })).body.code;
  expect(await code((await fixture.key(['events:write'])).key)).toBe('forbidden');
  expect(await code((await fixture.key(['deliveries:read'], other)).key)).toBe('not_found');
  expect(await code((await fixture.key(['deliveries:read'], acme)).key)).toBeUndefined();
  expect((await call('GET', '/v1/deliveries/dlv_x/explain')).body.code).toBe('not_found');
});

it('counts a large backlog only so far', async () => {
  const { path, uuid: id } = await publish();
  const ids = Array.from({ length: 1500 }, uuid);
  await query(
    `INSERT INTO deliveries (id, subscriber_id, event_id, endpoint_id, event_type, status, place, trigger, due_at)
     SELECT n, $1, $2, $3, 'a.b', 'pending', 'held', 'event', now() - interval '1 hour' FROM unnest($4::uuid[]) AS n`,
    [fromPublicId('sub', acme), uuid(), endpoint, ids],
  );
  await query(`UPDATE deliveries SET place = 'held' WHERE id = $1`, [id]);
  await query('DELETE FROM pgboss.job WHERE id = $1', [id]);
  expect(await explain(path)).toMatchObject({
    answer: expect.stringContaining('more than 1000 are before it'),
    waitsFor: { code: 'backlog', detail: { ahead: 1000, more: true } },
  });
});
