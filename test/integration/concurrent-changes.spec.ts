/**
 * Promise: whatever else changes the same deliveries at the same moment, every outcome finds its row, nothing is done twice and
 * the counts stay exact. (PostgreSQL 18 leaves rows out of a join that prunes partitions while it runs when somebody has just
 * changed them: docs/adr/0007.)
 * Real: PostgreSQL, pg-boss, RecordOutcomes, resends, cancels, the loops. Workers are played here, on several partitions.
 */
import { STAFF } from '@app/contracts';
import { CancelDelivery, ResendDelivery } from '@app/console';
import { CountAttempts, LaneSignals, RecordOutcomes } from '@app/delivery';
import { manualClock, seededRandom, systemRandom } from '@app/domain';
import { AcceptEvents } from '@app/ingest';
import { createLogger, Metrics } from '@app/observability';
import { recordRepository } from '@app/persistence';
import type { Ticket } from '@app/queue';
import pg from 'pg';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { anEvent } from '../support/fixtures.js';
import { Boundary, outcomeOf, type Customer } from './boundary-fixture.js';

const DAYS = 3;
const DAY_MS = 86_400_000;

let boundary: Boundary;
const metrics = new Metrics();
const logger = createLogger({ level: 'silent', process: 'test' });

beforeAll(async () => {
  boundary = await Boundary.open({ workers: 2, still: true });
});
afterAll(() => boundary.close());

/** Deliveries whose ids lie in today's partition and the next two. */
async function spread(customer: Customer, count: number): Promise<void> {
  for (let day = 0; day < DAYS; day++) {
    const clock = manualClock(new Date(Date.now() + day * DAY_MS));
    const accept = new AcceptEvents(
      boundary.database,
      boundary.workers[0].queue,
      clock,
      systemRandom,
      metrics,
      {
        autoCreateEventTypes: false,
        backlogPerSubscriberMax: 2_000_000,
      },
    );
    const events = Array.from({ length: count / DAYS }, () => anEvent(customer.subscriberId));
    await accept.accept({ scope: STAFF, events, idempotency: null });
  }
}

/** Changes these rows over and over on connections of its own, as heartbeats, resends and support people would. */
function hammer(connections: number): { stop(): Promise<number> } {
  let stopped = false;
  const url = boundary.url;
  const one = async (seed: number): Promise<number> => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const random = seededRandom(seed);
    let changes = 0;
    const { rows } = await client.query<{ id: string }>('SELECT id FROM deliveries');
    while (!stopped) {
      // In no order and one at a time: no deadlock, and every row is changed by somebody all the time.
      const { id } = rows[Math.floor(random.next() * rows.length)];
      await client.query('UPDATE deliveries SET updated_at = clock_timestamp() WHERE id = $1', [id]);
      changes++;
    }
    await client.end();
    return changes;
  };
  const running = Array.from({ length: connections }, (_, n) => one(n + 1));
  return {
    stop: async () => {
      stopped = true;
      return (await Promise.all(running)).reduce((sum, n) => sum + n);
    },
  };
}

it('every outcome finds its row while others change the same ones', async () => {
  const customer = await boundary.customer({}, { window_size: 2000 });
  await spread(customer, 600);
  const { queue } = boundary.workers[0];
  const tickets: Ticket[] = [];
  for (let got = await queue.claim(200, []); got.length > 0; got = await queue.claim(200, []))
    tickets.push(...got);
  expect(tickets).toHaveLength(600);
  const rows = await boundary.database.query<{ id: string }>(
    'SELECT * FROM deliveries WHERE endpoint_id = $1',
    [customer.endpointId],
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  const disturbance = hammer(4);

  const missed: number[] = [];
  for (let round = 0; round < 60; round++) {
    const group = tickets.map((ticket) => outcomeOf(byId.get(ticket.deliveryId), ticket, 'failed'));
    group.sort((a, b) => (a.deliveryId < b.deliveryId ? -1 : 1));
    await boundary.database
      .hotTransaction(async (tx) => {
        const some = group.slice((round % 5) * 120, (round % 5) * 120 + 120);
        await recordRepository.lock(
          tx,
          some.map(({ deliveryId }) => deliveryId),
        );
        const recorded = await recordRepository.record(tx, some);
        missed.push(some.length - recorded.filter(({ applied }) => applied).length);
        // Nothing is kept: the same claims are recorded again in the next round.
        throw new Undone();
      })
      .catch((error: unknown) => {
        if (!(error instanceof Undone)) throw error;
      });
  }
  const changes = await disturbance.stop();
  expect(changes).toBeGreaterThan(100);
  expect(missed).toEqual(missed.map(() => 0));

  const recorder = recorderOf();
  for (const ticket of tickets) recorder.add(outcomeOf(byId.get(ticket.deliveryId), ticket, 'delivered'));
  await recorder.drain();
  await boundary.untilCounts(customer, { delivered: 600 });
  await boundary.proveAll();
}, 60_000);

class Undone extends Error {}

it.each([1, 2])('a change in the middle of %i that nobody locked is no silent loss', async (n) => {
  const customer = await boundary.customer();
  await spread(customer, 3);
  const { queue } = boundary.workers[0];
  const tickets = (await queue.claim(3, [])).slice(0, n);
  const rows = await boundary.database.query<{ id: string }>(
    'SELECT * FROM deliveries WHERE id = ANY($1) ORDER BY id',
    [tickets.map(({ deliveryId }) => deliveryId)],
  );
  const outcomes = rows.map((row) =>
    outcomeOf(
      row,
      tickets.find(({ deliveryId }) => deliveryId === row.id)!,
      'delivered',
    ),
  );
  const other = new pg.Client({ connectionString: boundary.url });
  await other.connect();
  await other.query('BEGIN');
  await other.query('UPDATE deliveries SET updated_at = now() WHERE id = $1', [rows[0].id]);
  const recorded = boundary.database
    .hotTransaction((tx) => recordRepository.record(tx, outcomes))
    .then(
      () => 'recorded',
      () => 'refused',
    );
  const waits = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
  await vi.waitFor(async () => expect((await other.query(waits)).rows).toHaveLength(1), 10_000);
  await other.query('COMMIT');
  await other.end();
  const told = await recorded;
  const [{ moved }] = await boundary.database.query<{ moved: number }>(
    `SELECT count(*)::int AS moved FROM deliveries WHERE id = ANY($1) AND status = 'delivered'`,
    [rows.map(({ id }) => id)],
  );
  expect({ told, moved }).toEqual(told === 'recorded' ? { told, moved: n } : { told, moved: 0 });
  // They are claimed still, and may be recorded.
  const recorder = recorderOf();
  if (told === 'refused') for (const outcome of outcomes) recorder.add(outcome);
  await recorder.drain();
  await boundary.proveAll();
});

function recorderOf(): RecordOutcomes {
  const { queue } = boundary.workers[0];
  const signals = new LaneSignals(boundary.database, systemRandom, metrics, logger, { operational: false });
  return new RecordOutcomes(
    boundary.database,
    queue,
    signals,
    new CountAttempts(boundary.database),
    systemRandom,
    metrics,
    logger,
    () => undefined,
  );
}

it('outcomes, resends, cancels, promotions and loops at once lose nothing and end exact', async () => {
  const customer = await boundary.customer({}, { window_size: 40, window_max: 60 });
  await spread(customer, 300);
  const ordered = await boundary.customer({ ordered: true });
  await boundary.publish(ordered, 60, { key: (n) => `k${n % 5}` });
  const ids = (
    await boundary.database.query<{ id: string }>('SELECT id FROM deliveries WHERE endpoint_id = ANY($1)', [
      [customer.endpointId, ordered.endpointId],
    ])
  ).map(({ id }) => id);
  const over = (): Promise<{ n: number }[]> =>
    boundary.database.query(
      `SELECT count(*)::int AS n FROM deliveries WHERE endpoint_id = ANY($1) AND status = 'pending'`,
      [[customer.endpointId, ordered.endpointId]],
    );
  let stopped = false;
  const errors: unknown[] = [];
  const again = async (work: () => Promise<unknown>): Promise<void> => {
    while (!stopped) await work().catch((error: unknown) => errors.push(error));
  };
  const random = seededRandom(3);
  const any = (): string => ids[Math.floor(random.next() * ids.length)];
  const refused = (error: unknown): void => {
    if ((error as { code?: string }).code !== 'conflict') throw error;
  };

  // Two workers that claim and record; one attempt in four fails and is due again at once.
  const worker = async (n: number): Promise<void> => {
    const { queue } = boundary.workers[n];
    const tickets = await queue.claim(25, []);
    if (tickets.length === 0) return void (await new Promise(setImmediate));
    const rows = await boundary.database.query<{ id: string; ordering_key: string | null; status: string }>(
      'SELECT * FROM deliveries WHERE id = ANY($1)',
      [tickets.map(({ deliveryId }) => deliveryId)],
    );
    const recorder = recorderOf();
    for (const ticket of tickets) {
      const row = rows.find(({ id }) => id === ticket.deliveryId)!;
      const outcome = outcomeOf(row, ticket, random.next() < 0.25 ? 'failed' : 'delivered');
      if (outcome.next.status === 'pending') outcome.next.inSeconds = 0;
      recorder.add({ ...outcome, orderingKey: row.ordering_key });
    }
    await recorder.drain();
  };
  const loops = [
    ...[0, 1].map((n) => again(() => worker(n))),
    again(() =>
      boundary.database
        .transaction((tx) => new ResendDelivery(boundary.workers[0].queue).resend(tx, STAFF, any()))
        .catch(refused),
    ),
    again(() =>
      boundary.database.transaction((tx) => new CancelDelivery().cancel(tx, STAFF, any())).catch(refused),
    ),
    again(() => boundary.workers[0].lanes.promote([customer.endpointId, ordered.endpointId])),
    again(() => boundary.workers[1].lanes.promoteStalled()),
    again(() => boundary.workers[1].lanes.sideline([customer.endpointId])),
  ];
  await new Promise((resolve) => setTimeout(resolve, 4000));
  stopped = true;
  await Promise.all(loops);
  expect(errors.map(String)).toEqual([]);
  // Then only the workers and the loops, until all is over.
  for (let round = 0; (await over())[0].n > 0; round++) {
    await Promise.all([worker(0), worker(1)]);
    await boundary.workers[0].lanes.promoteStalled();
    await boundary.workers[0].lanes.sendProbes();
    if (round > 500)
      throw new Error(JSON.stringify([await boundary.counts(customer), await boundary.counts(ordered)]));
  }
  await boundary.proveAll();
}, 60_000);
