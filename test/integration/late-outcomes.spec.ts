/**
 * Promise: an outcome applies to the claim that it was made under and to no other; a late one is an attempt on record. Each is
 * written, in groups that follow one another.
 * Real: PostgreSQL, pg-boss with its supervision, DeliverQueue, RecordOutcomes. Workers are played here: a claim, the
 * rows loaded for it, an outcome.
 */
import { STAFF } from '@app/contracts';
import { CountAttempts, LaneSignals, RecordOutcomes, type FinishedTicket } from '@app/delivery';
import { newId, systemClock, systemRandom } from '@app/domain';
import { createLogger } from '@app/observability';
import { PumpRepository, type Database } from '@app/persistence';
import { DeliverQueue, type Ticket } from '@app/queue';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase, registerSubscriber } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';

let database: Database;
let drop: () => Promise<void>;
let road: Pipeline;
let supervised: DeliverQueue;

beforeAll(async () => {
  const created = await createTestDatabase();
  ({ drop } = created);
  database = await openDatabase(created.url);
  road = await startPipeline(database, created.url);
  supervised = new DeliverQueue(database, { supervise: true, on: () => undefined });
  await supervised.start();
});
afterAll(async () => {
  await supervised.stop();
  await road.stop();
  await database.close();
  await drop();
});

/**
 *   A claims (D, 0) and freezes → its claim expires → B claims (D, 1), fails: the retry is a new ticket of the same id
 *   → C claims (D, 0) → A wakes: its fence says (D, 0) too, and only the ticket's number tells the two claims apart
 */
it('an outcome that slept over a whole retry is late, and the claim with the same fence still applies', async () => {
  await publishOne();
  const a = await claim();
  await expire(a);
  const b = await claim();
  await record(failed(b));
  const c = await claim();
  expect([a, b, c].map((each) => each.retryCount)).toEqual([0, 1, 0]);

  const before = await state(a.deliveryId);
  expect(before).toMatchObject({ status: 'pending', place: 'waiting', tries: 1, attempts: 1, claims: 1 });
  await record(delivered(a));
  expect(await state(a.deliveryId)).toEqual({ ...before, attempts: 2 });
  await record(delivered(c));
  expect(await state(a.deliveryId)).toMatchObject({ status: 'delivered', tries: 2, attempts: 3, claims: 0 });
  expect(await attempts(a.deliveryId)).toEqual([
    { n: 1, status: 'failed', late: false },
    { n: 2, status: 'delivered', late: true },
    { n: 3, status: 'delivered', late: false },
  ]);
  expect(await lanes()).toEqual([{ queued: 0, held: 0 }]);
}, 30_000);

/** A claims (D, 0), loses it while it sleeps, wakes and claims (D, 1) itself: both requests end at the same moment. */
it('two outcomes of one delivery that end together are two attempts, of which one is late', async () => {
  await publishOne();
  const first = await claim();
  await expire(first);
  const second = await claim();
  expect(second).toMatchObject({ deliveryId: first.deliveryId, retryCount: 1 });
  await record(failed(first), delivered(second));

  expect(await state(first.deliveryId)).toMatchObject({
    status: 'delivered',
    tries: 1,
    attempts: 2,
    claims: 0,
  });
  expect(await attempts(first.deliveryId)).toEqual([
    { n: 1, status: 'failed', late: true },
    { n: 2, status: 'delivered', late: false },
  ]);
  expect(await lanes()).toEqual([{ queued: 0, held: 0 }]);
}, 30_000);

it('what finishes while a group commits is the next group, whole', async () => {
  const held = Promise.withResolvers<void>();
  let begun = 0;
  const recorder = recorderOn(async (work) => {
    if (++begun === 1) await held.promise;
    return database.hotTransaction(work);
  });
  recorder.add(delivered(nobodys()));
  await vi.waitFor(() => expect(begun).toBe(1));
  for (let i = 0; i < 4; i++) {
    recorder.add(delivered(nobodys()));
    await new Promise(setImmediate);
  }
  expect(begun).toBe(1);
  held.resolve();
  await recorder.drain();
  expect([begun, recorder.backlog]).toEqual([2, 0]);
});

it('an outcome that comes as the last group ends begins another run, in whichever turn it comes', async () => {
  const turnsMax = 30;
  let turns = 0;
  const recorder = recorderOn((work) => database.hotTransaction(work), later);
  recorder.add(delivered(nobodys()));
  await vi.waitFor(() => expect([turns, recorder.backlog]).toEqual([turnsMax, 0]));
  await recorder.drain();

  function later(): void {
    if (turns < turnsMax) inTurns(++turns, () => recorder.add(delivered(nobodys())));
  }
});

function inTurns(turns: number, then: () => void): void {
  if (turns === 0) then();
  else queueMicrotask(() => inTurns(turns - 1, then));
}

/** Of a delivery that is gone: nothing comes of it. */
function nobodys(): Claim {
  const id = (): string => newId(systemClock.now().getTime(), systemRandom);
  const ids = { deliveryId: id(), endpointId: id(), subscriberId: id(), eventId: id() };
  return { ...ids, retryCount: 0, trigger: 'event', ticket: 1 };
}

type Claim = Ticket & Pick<FinishedTicket, 'subscriberId' | 'eventId' | 'trigger' | 'ticket'>;

async function publishOne(): Promise<void> {
  await database.query('DELETE FROM lanes');
  const { subscriberId } = await registerSubscriber(database, ['http://127.0.0.1:1/']);
  await road.accept.accept({ scope: STAFF, events: [anEvent(subscriberId)], idempotency: null });
}

/** A claim and the row as its worker loads it. */
async function claim(): Promise<Claim> {
  const [ticket] = await road.queue.claim(10, []);
  const [row] = await new PumpRepository(database).loadDeliveries([ticket.deliveryId]);
  const { subscriberId, eventId, trigger } = row;
  return { ...ticket, subscriberId, eventId, trigger, ticket: row.ticket };
}

/** As if its worker had not been heard of for a while; the supervisor then gives the ticket back. */
async function expire({ deliveryId }: Ticket): Promise<void> {
  await database.query(`UPDATE pgboss.job SET heartbeat_on = now() - interval '1 minute' WHERE id = $1`, [
    deliveryId,
  ]);
  for (const deadline = Date.now() + 15_000; Date.now() < deadline;) {
    const [job] = await database.query<{ state: string }>('SELECT state FROM pgboss.job WHERE id = $1', [
      deliveryId,
    ]);
    if (job.state === 'retry') return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`the claim of ${deliveryId} did not expire`);
}

/** One recorder for each worker; it is done when everything is written. */
async function record(...outcomes: FinishedTicket[]): Promise<void> {
  const recorder = recorderOn((work) => database.hotTransaction(work));
  for (const outcome of outcomes) recorder.add(outcome);
  await recorder.drain();
}

function recorderOn(
  hotTransaction: Database['hotTransaction'],
  onRecorded: () => void = () => undefined,
): RecordOutcomes {
  const logger = createLogger({ level: 'silent', process: 'test' });
  const signals = new LaneSignals(database, systemRandom, road.metrics, logger, { operational: false });
  return new RecordOutcomes(
    { hotTransaction },
    road.queue,
    signals,
    new CountAttempts(database),
    systemRandom,
    road.metrics,
    logger,
    onRecorded,
  );
}

function failed(claimed: Claim): FinishedTicket {
  return outcome(claimed, 'http_5xx', { status: 'pending', place: 'waiting', inSeconds: 0 });
}

function delivered(claimed: Claim): FinishedTicket {
  return outcome(claimed, null, { status: 'delivered' });
}

function outcome(claimed: Claim, failure: string | null, next: FinishedTicket['next']): FinishedTicket {
  const now = new Date();
  return {
    ...claimed,
    next,
    critical: false,
    orderingKey: null,
    orderedFailure: 'block',
    retryAfterSeconds: null,
    disable: null,
    proof: null,
    failureIsTold: false,
    burnsTry: true,
    worker: 'test:1',
    attempt: {
      id: newId(systemClock.now().getTime(), systemRandom),
      status: failure === null ? 'delivered' : 'failed',
      url: 'http://127.0.0.1:1/',
      startedAt: now,
      finishedAt: now,
      dnsMs: null,
      connectMs: null,
      tlsMs: null,
      firstByteMs: null,
      totalMs: 1,
      statusCode: failure === null ? 200 : 500,
      failure,
      failureDetail: null,
      note: null,
      remoteAddress: null,
      responseHeaders: null,
      responseBody: null,
      responseEncoding: null,
      responseTruncated: false,
    },
  };
}

/** All of a delivery that an outcome may change. */
async function state(id: string): Promise<object> {
  const [row] = await database.query(
    `SELECT d.status, d.place, d.tries, d.attempts, d.ticket, d.due_at, d.trigger, d.failure, d.status_code, d.finished_at,
            (SELECT count(*)::int FROM pgboss.job j WHERE j.name = 'deliver' AND j.id = d.id) AS claims
       FROM deliveries d WHERE d.id = $1`,
    [id],
  );
  return row;
}

function attempts(id: string): Promise<object[]> {
  return database.query('SELECT n, status, late FROM attempts WHERE delivery_id = $1 ORDER BY n', [id]);
}

function lanes(): Promise<object[]> {
  return database.query('SELECT queued, held FROM lanes');
}
