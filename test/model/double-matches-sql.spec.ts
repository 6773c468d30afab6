/**
 * Promise: the store that the model runs on does what the SQL does. Real: PostgreSQL, AcceptEvents, DeliverQueue,
 * RecordOutcomes with LaneSignals and promotion, KeepLanes, resends, cancelling, endpoint states. Workers are played: each
 * random step is made on both, and then deliveries, lanes, ordering keys and tickets are compared.
 */
import { randomInt } from 'node:crypto';
import { Problem, STAFF } from '@app/contracts';
import { CancelDelivery } from '@app/console';
import { CountAttempts, KeepLanes, LaneSignals, RecordOutcomes, type FinishedTicket } from '@app/delivery';
import { DEFAULT_RETRY_POLICY, newId, seededRandom, systemClock, systemRandom } from '@app/domain';
import { createLogger } from '@app/observability';
import { endpointsRepository, PumpRepository, type Database } from '@app/persistence';
import type { Ticket } from '@app/queue';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { resendDeliveries } from '../../libs/console/src/resend-deliveries.js';
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase, registerSubscriber } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';
import { StoreDouble, type EndpointDouble } from './store-double.js';

const STEPS = 300;
const WINDOW = 3;
const SEED = Number(process.env.POSTHORN_MODEL_SEED ?? randomInt(2 ** 31));

/** What a worker remembers of a claim. */
type Claimed = Ticket &
  Pick<FinishedTicket, 'subscriberId' | 'eventId' | 'trigger' | 'ticket' | 'orderingKey'>;

let database: Database;
let drop: () => Promise<void>;
let road: Pipeline;
let lanes: KeepLanes;
let subscriberId: string;
let endpoints: EndpointDouble[];
let store: StoreDouble;
let claimed: Claimed[] = [];
const logger = createLogger({ level: 'silent', process: 'test' });
const random = seededRandom(SEED);

beforeAll(async () => {
  const created = await createTestDatabase();
  ({ drop } = created);
  database = await openDatabase(created.url);
  road = await startPipeline(database, created.url, { autoCreate: true });
  lanes = new KeepLanes(database, road.queue, systemClock, systemRandom, road.metrics, logger);
  const url = 'http://127.0.0.1:1/';
  const fixture = await registerSubscriber(database, [url, url, url]);
  ({ subscriberId } = fixture);
  // As the product is today: see the faults of its own among those planted in model.spec.ts.
  store = new StoreDouble(Date.now(), random, null);
  const kinds = [
    {},
    { ordered: true, orderedFailure: 'block' },
    { ordered: true, orderedFailure: 'skip' },
  ] as const;
  endpoints = fixture.endpointIds.map((id, at) =>
    store.addEndpoint({ id, policy: DEFAULT_RETRY_POLICY, window: WINDOW, ...kinds[at] }),
  );
  for (const [at, { id, ordered, orderedFailure }] of endpoints.entries())
    await database.query(
      'UPDATE endpoints SET ordered = $2, ordered_failure = $3, event_types = $4 WHERE id = $1',
      [id, ordered, orderedFailure, [`to.e${at}`]],
    );
  await database.query('UPDATE lanes SET window_size = $1', [WINDOW]);
});
afterAll(async () => {
  await road.stop();
  await database.close();
  await drop();
});

it(`${STEPS} random steps leave the same in both`, async () => {
  const steps: [number, () => Promise<string>][] = [
    [3, publish],
    [5, claim],
    [8, record],
    [2, comeDue],
    [1, loseClaims],
    [2, promoteStalled],
    [2, sendProbes],
    [1, sideline],
    [2, resend],
    [1, cancel],
    [1, pauseOrResume],
    [1, disableOrEnable],
  ];
  const drawn = steps.flatMap(([weight, step]) => Array.from({ length: weight }, () => step));
  const told: string[] = [];
  for (let n = 0; n < STEPS; n++) {
    // Later than the step before, as the database's clock is: the order of what is held goes by it.
    store.nowMs = Math.max(store.nowMs + 1, Date.now());
    told.push(await one(drawn)());
    expect(await inSql(), `seed ${SEED}, step ${n}: ${told.slice(-8).join('; ')}`).toEqual(inDouble());
  }
}, 60_000);

async function publish(): Promise<string> {
  const endpoint = one(endpoints);
  const orderingKey = one(['a', 'b']);
  const type = `to.e${endpoints.indexOf(endpoint)}`;
  const n = 1 + below(4);
  const events = Array.from({ length: n }, () => anEvent(subscriberId, { type, orderingKey }));
  await road.accept.accept({ scope: STAFF, events, idempotency: null });
  const rows = await database.query<{ id: string }>('SELECT id FROM deliveries ORDER BY seq, id');
  const ids = rows.map(({ id }) => id).filter((id) => !store.deliveries.has(id));
  store.publish(endpoint, ids, orderingKey);
  return `publish ${n} ${type} ${orderingKey}`;
}

async function claim(): Promise<string> {
  const tickets = await road.queue.claim(1000, []);
  const byId = (a: { deliveryId: string }, b: { deliveryId: string }): number =>
    a.deliveryId < b.deliveryId ? -1 : 1;
  const fences = tickets.map(({ deliveryId, retryCount }) => ({ deliveryId, retryCount }));
  expect(fences.sort(byId), `seed ${SEED}: claims`).toEqual(store.claim(1000).sort(byId));
  const rows = await new PumpRepository(database).loadDeliveries(tickets.map(({ deliveryId }) => deliveryId));
  for (const { id, eventId, trigger, ticket, orderingKey } of rows) {
    const held = tickets.find(({ deliveryId }) => deliveryId === id)!;
    claimed.push({ ...held, subscriberId, eventId, trigger, ticket, orderingKey });
  }
  return `claim ${tickets.length}`;
}

/** Outcomes of some claims, alive or lost; at most one of an ordering key, whose turns are told apart by their instants. */
async function record(): Promise<string> {
  const some = [...new Map(claimed.slice(below(4)).map((each) => [each.deliveryId, each])).values()];
  const unordered = some.filter(({ orderingKey }) => orderingKey === null).slice(0, 1 + below(5));
  const group = [...unordered, ...some.filter(({ orderingKey }) => orderingKey !== null).slice(0, 1)];
  claimed = claimed.filter((each) => !group.includes(each));
  // At one instant: the lane is told of them in the order in which they ended, and that is then the order of both.
  const at = new Date();
  const outcomes = group
    .map((from) => outcomeOf(from, at))
    .sort((a, b) => (a.deliveryId < b.deliveryId ? -1 : 1));
  const signals = new LaneSignals(database, systemRandom, road.metrics, logger, { operational: false });
  const { queue, metrics } = road;
  const recorder = new RecordOutcomes(
    database,
    queue,
    signals,
    new CountAttempts(database),
    systemRandom,
    metrics,
    logger,
    () => undefined,
  );
  for (const outcome of outcomes) recorder.add(outcome);
  await recorder.drain();
  store.record(outcomes).follow();
  return `record ${outcomes.map(({ next, attempt }) => `${attempt?.failure} ${next.status}`).join(', ')}`;
}

/** The time of retries and of probes comes. */
async function comeDue(): Promise<string> {
  await database.query(`UPDATE deliveries SET due_at = now() WHERE place = 'waiting' AND due_at > now()`);
  await database.query(
    `UPDATE pgboss.job SET start_after = now() WHERE state < 'active' AND start_after > now()`,
  );
  await database.query(`UPDATE lanes SET open_until = now() WHERE circuit = 'open'`);
  for (const delivery of store.pending(({ place }) => place === 'waiting'))
    delivery.dueAtMs = Math.min(delivery.dueAtMs, store.nowMs);
  for (const ticket of store.tickets.values()) ticket.startAtMs = Math.min(ticket.startAtMs, store.nowMs);
  for (const { lane } of endpoints)
    if (lane.circuit === 'open') Object.assign(lane, { openUntil: new Date(store.nowMs) });
  return 'comeDue';
}

/** A worker is not heard of; as the supervisor of the queue gives its claims back. */
async function loseClaims(): Promise<string> {
  const lost = claimed.filter(() => random.next() < 0.5).map(({ deliveryId }) => deliveryId);
  await database.query(
    `UPDATE pgboss.job SET state = 'retry', start_after = now() WHERE id = ANY($1::uuid[]) AND state = 'active'`,
    [lost],
  );
  for (const id of lost)
    if (store.tickets.get(id)?.state === 'active') store.tickets.get(id)!.state = 'retry';
  return `loseClaims ${lost.length}`;
}

async function promoteStalled(): Promise<string> {
  await lanes.promoteStalled();
  store.promoteStalled();
  return 'promoteStalled';
}

async function sendProbes(): Promise<string> {
  await lanes.sendProbes();
  store.sendProbes();
  return 'sendProbes';
}

async function sideline(): Promise<string> {
  await lanes.sideline([]);
  store.sideline();
  return 'sideline';
}

async function resend(): Promise<string> {
  if (store.deliveries.size === 0) return '';
  const { id } = one([...store.deliveries.values()]);
  const request = { ids: [id], replayId: null };
  await database.transaction((tx) =>
    resendDeliveries(tx, road.queue, STAFF, { ...request, trigger: 'resend' }),
  );
  return `resend ${id}: ${store.resend(id)}`;
}

async function cancel(): Promise<string> {
  if (store.deliveries.size === 0) return '';
  const { id } = one([...store.deliveries.values()]);
  const done = await database
    .transaction((tx) => new CancelDelivery().cancel(tx, STAFF, id))
    .then(() => true)
    .catch((error: unknown) => {
      if (error instanceof Problem) return false;
      throw error;
    });
  expect(done, `seed ${SEED}: cancel ${id}`).toBe(store.cancel(id));
  return `cancel ${id}: ${done}`;
}

async function pauseOrResume(): Promise<string> {
  const endpoint = one(endpoints);
  endpoint.paused = !endpoint.paused && random.next() < 0.5;
  const { id, paused } = endpoint;
  await database.transaction((tx) => endpointsRepository.setPaused(tx, subscriberId, id, paused));
  return `paused ${paused}`;
}

async function disableOrEnable(): Promise<string> {
  const endpoint = one(endpoints);
  const { id, disabled } = endpoint;
  await database.transaction(async (tx) => {
    await endpointsRepository.setDisabled(tx, subscriberId, id, disabled ? null : { reason: 'test' });
    if (disabled) await endpointsRepository.restartLane(tx, subscriberId, id);
  });
  if (disabled) store.enable(endpoint);
  else endpoint.disabled = true;
  await lanes.cancelStopped();
  store.cancelStopped();
  return `disabled ${!disabled}`;
}

function outcomeOf(from: Claimed, now: Date): FinishedTicket {
  const failure = one([
    'http_5xx',
    'http_5xx',
    'internal',
    'http_4xx',
    'gone_410',
    null,
    null,
    null,
    'held',
  ] as const);
  const inSeconds = one([0, 3600]);
  const nexts = {
    http_5xx: { status: 'pending', place: 'waiting', inSeconds, because: 'retry_schedule' },
    internal: { status: 'pending', place: 'waiting', inSeconds, because: 'platform_fault' },
    http_4xx: { status: 'failed', failure: 'http_4xx', gaveUp: 'permanent' },
    gone_410: { status: 'failed', failure: 'gone_410', gaveUp: 'permanent' },
    held: { status: 'pending', place: 'held', inSeconds: 0 },
  } as const;
  const timings = { dnsMs: null, connectMs: null, tlsMs: null, firstByteMs: null, totalMs: 1 };
  const answer = {
    responseHeaders: null,
    responseBody: null,
    responseEncoding: null,
    responseTruncated: false,
  };
  return {
    ...from,
    next: failure === null ? { status: 'delivered' } : nexts[failure],
    critical: false,
    orderedFailure: store.endpoints.get(from.endpointId)!.orderedFailure,
    retryAfterSeconds: null,
    disable: failure === 'gone_410' ? failure : null,
    proof: null,
    failureIsTold: false,
    burnsTry: failure !== 'internal' && failure !== 'held',
    worker: 'test:1',
    attempt:
      failure === 'held'
        ? null
        : {
            ...{ id: newId(now.getTime(), systemRandom), status: failure === null ? 'delivered' : 'failed' },
            ...{ url: 'http://127.0.0.1:1/', startedAt: now, finishedAt: now, ...timings, ...answer },
            ...{ statusCode: null, failure, failureDetail: null, note: null, remoteAddress: null },
          },
  };
}

interface Picture {
  deliveries: unknown[];
  lanes: unknown[];
  keys: unknown[];
  tickets: unknown[];
}

async function inSql(): Promise<Picture> {
  const [deliveries, lanesOf, keys, tickets] = await Promise.all([
    database.query(
      'SELECT id, status, place, tries, faults, ticket, trigger, attempts FROM deliveries ORDER BY id',
    ),
    database.query(
      `SELECT l.endpoint_id AS id, queued, held, waiting, window_size AS window, circuit, probe_id AS probe, trips,
              consecutive_failures AS consecutive, e.disabled_at IS NOT NULL AS disabled
         FROM lanes l JOIN endpoints e ON e.id = l.endpoint_id ORDER BY 1`,
    ),
    database.query(
      'SELECT endpoint_id AS id, key, state, delivery_id AS turn FROM ordering_keys ORDER BY 1, 2',
    ),
    database.query(
      `SELECT id, state::text, retry_count AS "retryCount", priority FROM pgboss.job WHERE name = 'deliver' ORDER BY 1`,
    ),
  ]);
  return { deliveries, lanes: lanesOf, keys, tickets };
}

function inDouble(): Picture {
  const byId = (a: { id: string; key?: string }, b: { id: string; key?: string }): number =>
    a.id + (a.key ?? '') < b.id + (b.key ?? '') ? -1 : 1;
  return {
    deliveries: [...store.deliveries.values()]
      .map(({ id, status, place, tries, faults, ticket, trigger, attempts }) => {
        return { id, status, place, tries, faults, ticket, trigger, attempts: attempts.length };
      })
      .sort(byId),
    lanes: endpoints
      .map(({ id, queued, held, waiting, disabled, lane }) => {
        const { window, circuit, probeId: probe, trips, consecutiveFailures: consecutive } = lane;
        return { id, queued, held, waiting, window, circuit, probe, trips, consecutive, disabled };
      })
      .sort(byId),
    keys: [...store.keys.values()]
      .map(({ endpoint: { id }, key, state, deliveryId: turn }) => ({ id, key, state, turn }))
      .sort(byId),
    tickets: [...store.tickets]
      .map(([id, { state, retryCount, priority }]) => ({ id, state, retryCount, priority }))
      .sort(byId),
  };
}

function below(n: number): number {
  return Math.floor(random.next() * n);
}

function one<T>(list: readonly T[]): T {
  return list[below(list.length)];
}
