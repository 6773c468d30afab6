/**
 * Promise: who asked to be told of a failure is told, once, with the original; nobody is told of telling.
 * Real: PostgreSQL, pg-boss, HTTP on loopback. In this process: AcceptEvents, Pump, RecordOutcomes, PublishNotices, as wired
 * in the worker.
 */
import { STAFF } from '@app/contracts';
import { toPublicId } from '@app/domain';
import { PublishNotices } from '@app/ingest';
import { createLogger } from '@app/observability';
import type { Database } from '@app/persistence';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase, registerSubscriber, type Fixture } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';

interface Body {
  type: string;
  data: Record<string, unknown>;
}

let drop: () => Promise<void>;
let database: Database;
let road: Pipeline;
let receiver: Receiver;
let operator: Fixture;
let notices: PublishNotices;

beforeAll(async () => {
  const created = await createTestDatabase();
  ({ drop } = created);
  database = await openDatabase(created.url);
  receiver = await startReceiver();
  road = await startPipeline(database, created.url, { operational: true });
  operator = await registerSubscriber(database, [receiver.url('/ok/operator')]);
  notices = new PublishNotices(
    database,
    road.accept,
    road.metrics,
    createLogger({ level: 'silent', process: 'test' }),
    { operationalSubscriber: operator.externalId },
  );
  await road.startPump();
});
beforeEach(() => receiver.reset());
afterAll(async () => {
  await road.stop();
  await receiver.stop();
  await database.close();
  await drop();
});

async function publish(subscriberId: string, data: string): Promise<void> {
  const events = [anEvent(subscriberId, { data })];
  await road.accept.accept({ scope: STAFF, events, idempotency: null });
}

/** Runs the loop until so many notices have been published. */
async function publishNotices(count: number): Promise<void> {
  for (const deadline = Date.now() + 10_000; count > 0 && Date.now() < deadline;) {
    count -= await notices.runOnce();
    if (count > 0) await new Promise((resolve) => setTimeout(resolve, 25));
  }
  expect(count).toBe(0);
}

async function arrivals(path: string, count: number): Promise<Body[]> {
  const entries = await receiver.waitFor(count, { filter: { path } });
  return entries.map((entry) => JSON.parse(entry.body.toString()) as Body);
}

it('a delivery that fails for good is told to the endpoint that onFailure names, with the bytes of its event', async () => {
  const customer = await registerSubscriber(database, [
    receiver.url('/400/main'),
    receiver.url('/ok/fallback'),
  ]);
  const [failing, fallback] = customer.endpointIds;
  await database.query('UPDATE endpoints SET on_failure_endpoint_id = $2, event_types = $3 WHERE id = $1', [
    failing,
    fallback,
    ['*'],
  ]);
  await database.query(`UPDATE endpoints SET event_types = '{nothing.else}' WHERE id = $1`, [fallback]);
  await publish(customer.subscriberId, '{"amount": 1.00, "a":"\\u00e9"}');
  await publishNotices(1);

  await receiver.waitFor(1, { filter: { path: '/ok/fallback' } });
  const [entry] = await receiver.journal({ path: '/ok/fallback' });
  expect(entry.body.toString()).toContain('"data":{"amount": 1.00, "a":"\\u00e9"}');
  const { type, data } = JSON.parse(entry.body.toString()) as Body;
  expect(type).toBe('posthorn.delivery.failed');
  expect(data).toMatchObject({
    endpoint: { id: toPublicId('ep', failing), url: receiver.url('/400/main') },
    delivery: { failure: 'http_4xx', gaveUp: 'permanent', statusCode: 400, attempts: 1 },
    event: { type: 'thing.happened', version: '1', data: { amount: 1 } },
  });
  const [told] = await arrivals('/ok/operator', 1);
  expect(told).toMatchObject({
    type: 'delivery.failed',
    data: { subscriber: { externalId: customer.externalId }, delivery: { failure: 'http_4xx' } },
  });
  expect(await database.query('SELECT 1 AS one FROM notices')).toEqual([]);
});

it('nobody is told that telling failed', async () => {
  const customer = await registerSubscriber(database, [
    receiver.url('/400/main'),
    receiver.url('/400/fallback'),
  ]);
  const [failing, fallback] = customer.endpointIds;
  await database.query('UPDATE endpoints SET on_failure_endpoint_id = $2 WHERE id = $1', [failing, fallback]);
  await database.query(
    `UPDATE endpoints SET on_failure_endpoint_id = $2, event_types = '{nothing.else}' WHERE id = $1`,
    [fallback, failing],
  );
  await publish(customer.subscriberId, '{}');
  await publishNotices(1);
  await receiver.waitFor(1, { filter: { path: '/400/fallback' } });
  await until(customer.subscriberId, 'failed', 2);
  expect(await database.query('SELECT 1 AS one FROM notices')).toEqual([]);
});

it('410 disables the endpoint, and the operator hears of it', async () => {
  const customer = await registerSubscriber(database, [receiver.url('/410/gone')]);
  await publish(customer.subscriberId, '{}');
  await publishNotices(2);
  const told = await arrivals('/ok/operator', 2);
  expect(told.map((body) => body.type).sort()).toEqual(['delivery.failed', 'endpoint.disabled']);
  expect(told.find((body) => body.type === 'endpoint.disabled')?.data).toMatchObject({
    endpoint: { id: toPublicId('ep', customer.endpointIds[0]) },
    reason: 'gone_410',
  });
  const [row] = await database.query<{ reason: string }>(
    'SELECT disabled_reason AS reason FROM endpoints WHERE id = $1 AND disabled_at IS NOT NULL',
    [customer.endpointIds[0]],
  );
  expect(row.reason).toMatch(/^gone_410: /);
  // Nobody asked for it: the audit log says who did it, and why.
  expect(
    await database.query(
      `SELECT actor_kind, actor, action, after ->> 'disabledReason' AS reason FROM audit_log WHERE object = $1`,
      [toPublicId('ep', customer.endpointIds[0])],
    ),
  ).toEqual([{ actor_kind: 'system', actor: 'delivery', action: 'endpoint.disable', reason: row.reason }]);
});

it('nothing but failures for too long: warned at 50, 75 and 100 %, then disabled; a success in between is told as recovery', async () => {
  const customer = await registerSubscriber(database, [receiver.url('/fail-first/1/long')]);
  const [endpointId] = customer.endpointIds;
  const failingFor = (days: number, attempts: number) =>
    database.query(
      `UPDATE lanes SET failing_since = now() - make_interval(days => $2), failing_attempts = $3, circuit = 'closed', open_until = NULL
        WHERE endpoint_id = $1`,
      [endpointId, days, attempts],
    );
  // Half of five days and half of twenty attempts.
  await failingFor(3, 12);
  await publish(customer.subscriberId, '{"n":1}');
  await publishNotices(1);
  const [warned] = await arrivals('/ok/operator', 1);
  expect(warned).toMatchObject({ type: 'endpoint.failing', data: { percent: 50 } });
  await database.query(`UPDATE deliveries SET due_at = now() WHERE endpoint_id = $1`, [endpointId]);
  await database.query(`UPDATE pgboss.job SET start_after = now() WHERE group_id = $1::text`, [endpointId]);
  await publishNotices(1);
  expect((await arrivals('/ok/operator', 2)).map((body) => body.type)).toEqual([
    'endpoint.failing',
    'endpoint.recovered',
  ]);

  await failingFor(6, 40);
  await publish(customer.subscriberId, '{"n":2}');
  await publishNotices(4);
  const told = (await arrivals('/ok/operator', 6)).slice(2);
  const steps = told.filter((body) => body.type === 'endpoint.failing').map((body) => body.data.percent);
  expect(new Set(steps)).toEqual(new Set([50, 75, 100]));
  expect(told.find((body) => body.type === 'endpoint.disabled')?.data).toMatchObject({
    reason: 'failing_too_long',
  });
  const [row] = await database.query<{ reason: string }>(
    'SELECT disabled_reason AS reason FROM endpoints WHERE id = $1',
    [endpointId],
  );
  expect(row.reason).toMatch(/^failing_too_long: /);
});

it('an operator who is not there costs a line in the log, and nothing else', async () => {
  const lonely = new PublishNotices(
    database,
    road.accept,
    road.metrics,
    createLogger({ level: 'silent', process: 'test' }),
    { operationalSubscriber: 'nobody' },
  );
  const customer = await registerSubscriber(database, [receiver.url('/400/x')]);
  await publish(customer.subscriberId, '{}');
  await until(customer.subscriberId, 'failed', 1);
  expect(await lonely.runOnce()).toBe(1);
  expect(await lonely.runOnce()).toBe(0);
});

async function until(subscriberId: string, status: string, wanted: number): Promise<void> {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline;) {
    const [row] = await database.query<{ n: number }>(
      'SELECT count(*)::int AS n FROM deliveries WHERE subscriber_id = $1 AND status = $2',
      [subscriberId, status],
    );
    if (row.n === wanted) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`never were ${wanted} ${status}`);
}
