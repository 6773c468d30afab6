/**
 * Promise: what a receiver answered gets into the database, whoever is in the way of it and whatever is refused at first.
 * Real: PostgreSQL, pg-boss, RecordOutcomes. Workers are played here.
 */
import { CountAttempts, LaneSignals, RecordOutcomes } from '@app/delivery';
import { systemRandom } from '@app/domain';
import { createLogger, Metrics } from '@app/observability';
import type { DeliverQueue, Ticket } from '@app/queue';
import pg from 'pg';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Boundary, outcomeOf, type Customer } from './boundary-fixture.js';

let boundary: Boundary;
const logger = createLogger({ level: 'silent', process: 'test' });

beforeAll(async () => {
  boundary = await Boundary.open({ still: true });
});
afterAll(() => boundary.close());

function recorderOf(queue: Pick<DeliverQueue, 'insert' | 'notify'>): RecordOutcomes {
  const metrics = new Metrics();
  const signals = new LaneSignals(boundary.database, systemRandom, metrics, logger, { operational: false });
  const counts = new CountAttempts(boundary.database);
  return new RecordOutcomes(
    boundary.database,
    queue,
    signals,
    counts,
    systemRandom,
    metrics,
    logger,
    () => undefined,
  );
}

/** Published and claimed, in order of id, each with what its outcome is made of. */
async function claimed(
  customer: Customer,
  count: number,
): Promise<{ ticket: Ticket; row: { id: string } }[]> {
  await boundary.publish(customer, count);
  const tickets = await boundary.workers[0].queue.claim(count, []);
  const rows = await boundary.database.query<{ id: string }>(
    'SELECT * FROM deliveries WHERE endpoint_id = $1',
    [customer.endpointId],
  );
  return tickets
    .sort((a, b) => (a.deliveryId < b.deliveryId ? -1 : 1))
    .map((ticket) => ({ ticket, row: rows.find(({ id }) => id === ticket.deliveryId)! }));
}

/**
 *   somebody   locks the second job ───────── wants the first ──────────────── has both, lets go
 *   T2             locks the first, wants the second ── is the one to give up ──── again: has both
 */
it('a deadlock about tickets is nobody’s error: the group is recorded again at once', async () => {
  const customer = await boundary.customer();
  const both = await claimed(customer, 2);
  const [other, onlooker] = [0, 1].map(() => new pg.Client({ connectionString: boundary.url }));
  await Promise.all([other.connect(), onlooker.connect()]);
  const lock = ({ ticket }: { ticket: Ticket }) =>
    other.query('SELECT 1 FROM pgboss.job WHERE id = $1 FOR UPDATE', [ticket.deliveryId]);
  const told = vi.spyOn(logger, 'error');
  await other.query('BEGIN');
  await lock(both[1]);

  const recorder = recorderOf(boundary.workers[0].queue);
  for (const { ticket, row } of both) recorder.add(outcomeOf(row, ticket, 'delivered'));
  await boundary.until(
    () =>
      onlooker.query(
        `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      ),
    ({ rowCount }) => rowCount! > 0,
  );
  // T2 has waited for longer, so it is T2 that finds the circle.
  await lock(both[0]);
  await other.query('ROLLBACK');

  await boundary.untilCounts(customer, { delivered: 2 });
  expect(told).not.toHaveBeenCalled();
  told.mockRestore();
  await recorder.drain();
  await Promise.all([other.end(), onlooker.end()]);
});

it('a ticket that its key refuses is not taken for an attempt that is there already', async () => {
  const customer = await boundary.customer();
  const [{ ticket, row }] = await claimed(customer, 1);
  const { queue } = boundary.workers[0];
  let refusals = 1;
  const recorder = recorderOf({
    notify: queue.notify.bind(queue),
    insert: (tx, tickets, options) =>
      // As a bug of ours would: the same one twice.
      queue.insert(tx, refusals-- > 0 ? [...tickets, ...tickets] : tickets, options),
  });
  recorder.add(outcomeOf(row, ticket, 'failed'));
  await recorder.drain();
  await boundary.untilCounts(customer, { waiting: 1 });
  const attempts = await boundary.database.query('SELECT n, note FROM attempts WHERE delivery_id = $1', [
    row.id,
  ]);
  expect(attempts).toEqual([{ n: 1, note: 'the response could not be stored' }]);
  await boundary.proveAll();
});
