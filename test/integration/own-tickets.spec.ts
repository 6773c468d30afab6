/**
 * Real: PostgreSQL and pg-boss. Proves: a ticket that our own statements insert and claim is, column by column, the one that
 * pg-boss's `insert` and `fetch` leave, so its supervision, its `touch` and its next version meet nothing strange. (Whoever
 * upgrades pg-boss reads it here when they changed.)
 */
import { DELIVER_QUEUE } from '@app/contracts';
import { newId, systemRandom } from '@app/domain';
import type { Database, Tx } from '@app/persistence';
import { DeliverQueue } from '@app/queue';
import { PgBoss } from 'pg-boss';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { openDatabase } from '../support/fixtures.js';

let database: Database;
let drop: () => Promise<void>;
let queue: DeliverQueue;
let boss: PgBoss;

beforeAll(async () => {
  const created = await createTestDatabase();
  drop = created.drop;
  database = await openDatabase(created.url);
  queue = new DeliverQueue(database, { supervise: false, on: () => undefined });
  await queue.start();
  boss = new PgBoss({
    db: database.queue,
    schema: 'pgboss',
    migrate: false,
    createSchema: false,
    schedule: false,
    supervise: false,
    reindex: false,
    monitorVacuum: false,
  });
  await boss.start();
});
afterAll(async () => {
  await boss.stop({ graceful: false, close: false });
  await queue.stop();
  await database.close();
  await drop();
});

const ENDPOINT = newId(1_700_000_000_000, systemRandom);
const aTicket = (inSeconds?: number) => ({
  deliveryId: newId(1_700_000_000_000, systemRandom),
  endpointId: ENDPOINT,
  priority: 1 as const,
  ...(inSeconds === undefined ? {} : { inSeconds }),
});

/** Its row, the id aside; instants as seconds from the first of them, so that two transactions compare. */
async function rowOf(tx: Pick<Tx, 'query'>, id: string): Promise<Record<string, unknown>> {
  const [row] = await tx.query<Record<string, unknown>>('SELECT * FROM pgboss.job WHERE id = $1', [id]);
  const from = row['created_on'] as Date;
  const since = (value: unknown): unknown =>
    value instanceof Date ? Math.round((value.getTime() - from.getTime()) / 60_000) : value;
  return Object.fromEntries(
    Object.entries(row)
      .filter(([name]) => name !== 'id')
      .map(([name, value]) => [name, since(value)]),
  );
}

it.each([undefined, 0, 90.5, 86_400])('inserts what pg-boss inserts, due in %s s', async (inSeconds) => {
  const [ours, theirs] = [aTicket(inSeconds), aTicket(inSeconds)];
  await database.transaction(async (tx) => {
    await queue.insert(tx, [ours], { notify: false });
    const job = {
      ...{ id: theirs.deliveryId, data: {}, group: { id: theirs.endpointId }, priority: theirs.priority },
      ...(inSeconds ? { startAfter: `${inSeconds} seconds` as unknown as number } : {}),
    };
    await boss.insert(DELIVER_QUEUE, [job], {
      db: { executeSql: async (text, values) => ({ rows: await tx.query(text, values) }) },
    });
    const [mine, other] = [await rowOf(tx, ours.deliveryId), await rowOf(tx, theirs.deliveryId)];
    expect(mine).toEqual(other);
    expect(mine).toMatchObject({ group_id: ENDPOINT, policy: 'standard', state: 'created' });
  });
});

it('has in hand from the start what would be claimed at once, as pg-boss inserts and fetches it', async () => {
  const [ours, theirs] = [{ ...aTicket(), claimed: true as const }, aTicket()];
  await database.query('DELETE FROM pgboss.job');
  const group = { id: theirs.endpointId };
  await boss.insert(DELIVER_QUEUE, [{ id: theirs.deliveryId, data: {}, group, priority: theirs.priority }]);
  expect(await boss.fetch(DELIVER_QUEUE, { batchSize: 1 })).toHaveLength(1);
  await database.transaction((tx) => queue.insert(tx, [aTicket(), ours], { notify: false }));
  const mine = await rowOf(database, ours.deliveryId);
  expect(mine).toEqual(await rowOf(database, theirs.deliveryId));
  expect(mine).toMatchObject({ state: 'active', started_on: 0, heartbeat_on: 0, retry_count: 0 });
  // Nobody else is offered it; whoever has it proves it, and loses it when he does not.
  expect(await queue.claim(9, [])).toHaveLength(1);
  expect(await queue.touch([{ ...ours, retryCount: 0 }])).toEqual(new Set([ours.deliveryId]));
  await database.query(`UPDATE pgboss.job SET heartbeat_on = now() - interval '1 hour'`);
  await database.query('UPDATE pgboss.queue SET monitor_claim_on = NULL, monitor_on = NULL');
  await boss.supervise(DELIVER_QUEUE);
  expect(await queue.claim(9, [])).toContainEqual({
    ...{ deliveryId: ours.deliveryId, endpointId: ENDPOINT, priority: 1, retryCount: 1 },
  });
});

it('leaves a ticket that is there as it is, as pg-boss does', async () => {
  const ticket = aTicket();
  await database.transaction((tx) => queue.insert(tx, [ticket], { notify: false }));
  await database.transaction((tx) => queue.insert(tx, [{ ...ticket, inSeconds: 500 }], { notify: false }));
  expect(await rowOf(database, ticket.deliveryId)).toMatchObject({ start_after: 0 });
  await database.query('DELETE FROM pgboss.job');
});

it('claims as pg-boss claims: the first time, and again after an expiry', async () => {
  const tickets = [aTicket(), aTicket()];
  await database.query('DELETE FROM pgboss.job');
  await database.transaction((tx) => queue.insert(tx, tickets, { notify: false }));
  for (const retryCount of [0, 1]) {
    const [ours] = await queue.claim(1, []);
    const [theirs] = await boss.fetch(DELIVER_QUEUE, { batchSize: 1 });
    expect(ours).toEqual({ deliveryId: ours.deliveryId, endpointId: ENDPOINT, priority: 1, retryCount });
    expect(theirs.id).not.toBe(ours.deliveryId);
    const mine = await rowOf(database, ours.deliveryId);
    expect(mine).toEqual(await rowOf(database, theirs.id));
    expect(mine).toMatchObject({ state: 'active', retry_count: retryCount });
    await database.query(`UPDATE pgboss.job SET heartbeat_on = now() - interval '1 hour'`);
    // It passes once in its interval.
    await database.query('UPDATE pgboss.queue SET monitor_claim_on = NULL, monitor_on = NULL');
    await boss.supervise(DELIVER_QUEUE);
    expect(await rowOf(database, ours.deliveryId)).toMatchObject({ state: 'retry' });
  }
});

it('claims by priority, then the longest waiting; nobody of those that are left out, and one without a group', async () => {
  await database.query('DELETE FROM pgboss.job');
  const first = { ...aTicket(), priority: 0 as const };
  const urgent = { ...aTicket(), priority: 2 as const };
  const [second, later] = [aTicket(), aTicket(60)];
  const stray = newId(1_700_000_000_000, systemRandom);
  for (const ticket of [first, second, urgent, later])
    await database.transaction((tx) => queue.insert(tx, [ticket], { notify: false }));
  await boss.insert(DELIVER_QUEUE, [{ id: stray, data: {}, priority: 1 }]);
  expect(await queue.claim(9, [], { priorityMin: 3 as never })).toEqual([]);
  expect((await queue.claim(9, [ENDPOINT])).map(({ deliveryId }) => deliveryId)).toEqual([stray]);
  expect((await queue.claim(1, [])).map(({ deliveryId }) => deliveryId)).toEqual([urgent.deliveryId]);
  expect(await queue.claim(9, [], { priorityMin: 1, since: new Date(Date.now() + 60_000) })).toEqual([]);
  const since = new Date(Date.now() - 60_000);
  expect((await queue.claim(9, [], { priorityMin: 1, since })).map(({ deliveryId }) => deliveryId)).toEqual([
    second.deliveryId,
  ]);
  expect((await queue.claim(9, [], { priorityMax: 0 })).map(({ deliveryId }) => deliveryId)).toEqual([
    first.deliveryId,
  ]);
  expect(await queue.claim(9, [])).toEqual([]);
});
