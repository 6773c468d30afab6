/**
 * Real: PostgreSQL, migrations. Promise: a held delivery that is promoted gets a row version without index entries, because
 * `set_aside` and `set_aside_at`, which the index of pending deliveries names, keep what it was. The table sees to it that they are true of everything
 * else, whoever writes.
 */
import { newId, systemRandom } from '@app/domain';
import {
  acceptRepository,
  lanesRepository,
  migrate,
  recordRepository,
  revertLastMigration,
  type Database,
} from '@app/persistence';
import pg from 'pg';
import type { QueryRunner } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SetAside1795651200019 } from '../../migrations/1795651200019-set-aside.js';
import { MIGRATIONS } from '../../migrations/index.js';
import { createTestDatabase } from '../support/database.js';
import { openDatabase } from '../support/fixtures.js';

let database: Database;
let url: string;
let drop: () => Promise<void>;
beforeAll(async () => {
  ({ drop, url } = await createTestDatabase());
  database = await openDatabase(url, 'owner');
});
afterAll(async () => {
  await database.close();
  await drop();
});

const uuid = () => newId(Date.now(), systemRandom);
const INSERT = `INSERT INTO deliveries (id, subscriber_id, event_id, endpoint_id, event_type, status, place, trigger, due_at)
  SELECT n, $2, n, $2, 'invoice.paid', 'pending', $3, 'event', now() FROM unnest($1::uuid[]) AS n`;
async function insert(endpointId: string, place: string, count = 1): Promise<string[]> {
  const ids = Array.from({ length: count }, uuid);
  await database.query(INSERT, [ids, endpointId, place]);
  return ids;
}
const change = (id: string, set: string) =>
  database.query(`UPDATE deliveries SET ${set} WHERE id = $1`, [id]);
const setAside = async (id: string) =>
  (
    await database.query(
      `SELECT set_aside AS place, set_aside_at - due_at = interval '0' AS "asDue" FROM deliveries WHERE id = $1`,
      [id],
    )
  )[0];
const pick = async (endpointId: string, promote = 1000) =>
  (
    await database.hotTransaction((tx) => recordRepository.pickHeld(tx, [{ endpointId, promote }]))
  ).oldest.map(({ id }) => id);

describe('a promotion', () => {
  it('writes no index, though all that stands on a page is promoted at once', async () => {
    const endpointId = uuid();
    const deliveries = Array.from({ length: 300 }, () => ({
      ...{ id: uuid(), subscriberId: endpointId, eventId: uuid(), endpointId, eventType: 'invoice.paid' },
      ...{ place: 'held' as const, trigger: 'event' as const, critical: false, orderingKey: null },
    }));
    await database.hotTransaction((tx) => acceptRepository.insert(tx, [], deliveries, null));
    const written = await database.hotTransaction(async (tx) => {
      const { oldest } = await recordRepository.pickHeld(tx, [{ endpointId, promote: 200 }]);
      await recordRepository.givePlaces(tx, oldest.map(({ id }) => id).sort());
      return tx.query(
        `SELECT sum(n_tup_upd)::int AS updated, sum(n_tup_hot_upd)::int AS "withoutIndex" FROM pg_stat_xact_all_tables
          WHERE relid IN (SELECT relid FROM pg_partition_tree('deliveries'))`,
      );
    });
    expect(written).toEqual([{ updated: 200, withoutIndex: 200 }]);
    const ids = deliveries.map(({ id }) => id);
    expect(await pick(endpointId)).toEqual(ids.slice(200));
  });
});

describe('what was set aside', () => {
  it('is the place and the due time of what is held or waiting, whoever writes them', async () => {
    const [id] = await insert(uuid(), 'waiting');
    expect(await setAside(id)).toEqual({ place: 'waiting', asDue: true });
    await change(id, `due_at = now() + interval '1 hour'`);
    expect(await setAside(id)).toEqual({ place: 'waiting', asDue: true });
    await database.transaction((tx) => lanesRepository.holdRetries(tx, [id]));
    expect(await setAside(id)).toEqual({ place: 'held', asDue: true });
  });

  it('stays through a promotion, until it is held again or over', async () => {
    const [[held], [over], [queued]] = [
      await insert(uuid(), 'held'),
      await insert(uuid(), 'held'),
      await insert(uuid(), 'queued'),
    ];
    for (const id of [held, over]) {
      await change(id, `place = 'queued', due_at = now() + interval '1 second'`);
      expect(await setAside(id)).toEqual({ place: 'held', asDue: false });
    }
    await change(held, `place = 'held'`);
    expect(await setAside(held)).toEqual({ place: 'held', asDue: true });
    await change(
      over,
      `status = 'cancelled', place = NULL, due_at = NULL, cancel_reason = 'staff', finished_at = now()`,
    );
    for (const id of [over, queued]) expect(await setAside(id)).toEqual({ place: null, asDue: null });
  });

  it('cannot be anything else', async () => {
    const [[held], [queued]] = [await insert(uuid(), 'held'), await insert(uuid(), 'queued')];
    await database.query('ALTER TABLE deliveries DISABLE TRIGGER deliveries_set_aside');
    for (const [id, set] of [
      [held, 'set_aside = NULL'],
      [held, `set_aside = 'waiting'`],
      [held, `due_at = due_at + interval '1 second'`],
      [held, `place = 'waiting'`],
      [
        held,
        `status = 'cancelled', place = NULL, due_at = NULL, cancel_reason = 'staff', finished_at = now()`,
      ],
      [queued, `place = 'held'`],
      [queued, `set_aside = 'held'`],
      [queued, 'set_aside_at = now()'],
      [queued, `set_aside = 'queued', set_aside_at = now()`],
    ])
      await expect(change(id, set), set).rejects.toMatchObject({
        code: '23514',
        constraint: 'deliveries_set_aside',
      });
    await database.query('ALTER TABLE deliveries ENABLE TRIGGER deliveries_set_aside');
  });
});

describe('the migration', () => {
  it('finds what was pending before it, and leaves room on the pages of every day, those to come included', async () => {
    const made = await createTestDatabase();
    const other = await openDatabase(made.url, 'owner');
    for (const _ of MIGRATIONS.slice(MIGRATIONS.indexOf(SetAside1795651200019)))
      await revertLastMigration(made.url);
    const [endpointId, held, waiting, queued] = Array.from({ length: 4 }, uuid);
    for (const [id, place] of [
      [held, 'held'],
      [waiting, 'waiting'],
      [queued, 'queued'],
    ])
      await other.query(INSERT, [[id], endpointId, place]);
    await migrate(made.url);
    await other.query('SELECT posthorn_create_partitions(current_date - 40, current_date - 40, 1000)');
    expect(
      await other.query(
        `SELECT place, set_aside AS "setAside", set_aside_at = due_at AS "asDue" FROM deliveries ORDER BY place`,
      ),
    ).toEqual([
      { place: 'held', setAside: 'held', asDue: true },
      { place: 'queued', setAside: null, asDue: null },
      { place: 'waiting', setAside: 'waiting', asDue: true },
    ]);
    expect(
      await other.query(
        `SELECT inhparent::regclass::text AS "table", substring(c.reloptions::text FROM 'fillfactor=(\\d+)')::int AS "fillfactor"
           FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relnamespace = 'public'::regnamespace AND c.relname ~ '_[0-9]{8}$' GROUP BY 1, 2 ORDER BY 1`,
      ),
    ).toEqual([
      { table: 'attempts', fillfactor: 85 },
      { table: 'deliveries', fillfactor: 50 },
      { table: 'events', fillfactor: 85 },
    ]);
    await other.close();
    await made.drop();
  });

  it('refuses a role that would not see what is held', async () => {
    const made = await createTestDatabase();
    const admin = new pg.Client({ connectionString: made.adminUrl });
    await admin.connect();
    // Goes with the transaction.
    await admin.query('BEGIN; CREATE ROLE owner_of_set_aside; SET LOCAL ROLE owner_of_set_aside');
    const runner = { query: (text: string) => admin.query(text) } as unknown as QueryRunner;
    await expect(new SetAside1795651200019().up(runner)).rejects.toThrow(
      'GRANT posthorn_worker TO owner_of_set_aside',
    );
    await admin.end();
    await made.drop();
  });
});
